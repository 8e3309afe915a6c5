"""A local search over cuts: one layer at a time, or one together with its reader.

The mapper's candidates are tried in the order of its estimates. A change is kept when the layer and
its readers, scheduled, cost less together and the network still fits; sweeps over all layers are
repeated until one finds nothing or the effort is spent. The estimate only ranks; the schedule
decides. Nothing published is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from zapdeploy.compile.mapping.mapper import Mapper, NetworkMapping, Objective
from zapdeploy.compile.mapping.memory import framebuffer_demand, plan_memory
from zapdeploy.compile.program.build import memory_demands
from zapdeploy.compile.program.program import Program
from zapdeploy.compile.program.recutting import with_cuts
from zapdeploy.compile.state import states
from zapdeploy.progress import Progress
from zapdeploy.sim.schedule import schedule
from zapdeploy.sim.search.estimates import Estimates
from zapdeploy.sim.search.scoring import Factors, Scorer


@dataclass(frozen=True)
class Effort:
    """`scheduled`: layers that may be scheduled at most; `patience`: choices of all cuts without a
    better one; `tried`: changes around a layer in a sweep."""

    scheduled: int
    patience: int
    tried: int


THOROUGH = Effort(scheduled=4000, patience=24, tried=6)
WIDTH = 3.0  # candidates, in times of the mapper's usual number


def improved(
    program: Program,
    progress: Progress = lambda what, done, total: None,
    effort: Effort = THOROUGH,
) -> Program:
    """The same network under cuts that the schedule likes better, or the Program as it is."""
    if not program.fits:
        return program
    picks = _Search(program, effort, progress).run()
    scorer = Scorer(program.graph, program.target, program.options.objective)
    found = with_cuts(program, [scorer.cuts(i, pick) for i, pick in enumerate(picks)])
    found = replace(found, mapping_gap=program.mapping_gap)
    if program.options.objective != "energy" and schedule(found).cycles >= schedule(program).cycles:
        return program
    return found


class _Search:
    def __init__(self, program: Program, effort: Effort, progress: Progress) -> None:
        self._program, self._effort, self._progress = program, effort, progress
        graph, target = program.graph, program.target
        objective = cast(Objective, program.options.objective)
        self._scorer = Scorer(graph, target, objective)
        self._best: list[Factors] = [layer.cut for layer in program.layers]
        carried = {state.before.name: state.after.name for state in states(graph)}
        mapper = Mapper(
            self._scorer.layers, target, objective, progress, carried, WIDTH, self._best
        )
        self._known = Estimates(mapper, self._scorer)
        self._readers: list[list[int]] = [[] for _ in self._best]
        for reader in range(len(self._best)):
            for source in set(self._scorer.sources(reader)) - {reader}:
                self._readers[source].append(reader)
        self._boundary = framebuffer_demand(graph, target)

    def run(self) -> list[Factors]:
        """The best cuts found."""
        self._choose_again()
        while self._sweep() and not self._spent:
            pass
        return self._best

    @property
    def _spent(self) -> bool:
        return self._scorer.scheduled >= self._effort.scheduled

    def _choose_again(self) -> None:
        """All cuts at once: choose, schedule the choice, correct the estimates by it, and again."""
        cost, since = self._cost(range(len(self._best)), self._best), 0
        while not self._spent and since < self._effort.patience:
            self._show()
            picks = self._known.choice()
            found = self._cost(range(len(picks)), picks)
            since += 1
            if found < cost and self._fits(picks):
                self._best, cost, since = picks, found, 0

    def _sweep(self) -> bool:
        """Go through all layers once, the most costly first; whether anything got better."""
        costs = [self._cost([i], self._best) for i in range(len(self._best))]
        better = False
        for index in np.argsort(costs)[::-1].tolist():
            self._show()
            if self._spent:
                break
            better |= self._improve(index)
        return better

    def _improve(self, index: int) -> bool:
        """Try other cuts of a layer, alone and with its readers; keep the best."""
        changes = sorted(self._changes(index), key=self._predicted_gain, reverse=True)
        gains = [(self._gain(change), n) for n, change in enumerate(changes[: self._effort.tried])]
        for gain, n in sorted(gains, key=lambda found: (-found[0], found[1])):
            picks = self._changed(changes[n])
            if gain <= 0:
                break
            if self._fits(picks):
                self._best = picks
                return True
        return False

    def _changes(self, index: int) -> Iterator[dict[int, Factors]]:
        """Other cuts of a layer, each alone and with the best of every reader's."""
        for factors in self._known.candidates[index]:
            if factors == self._best[index]:
                continue
            yield {index: factors}
            for reader in self._readers[index]:
                others = ({index: factors, reader: f} for f in self._known.candidates[reader])
                yield max(others, key=self._predicted_gain)

    def _gain(self, change: dict[int, Factors]) -> float:
        touched = self._touched(change)
        return self._cost(touched, self._best) - self._cost(touched, self._changed(change))

    def _predicted_gain(self, change: dict[int, Factors]) -> float:
        touched, picks = self._touched(change), self._changed(change)
        predicted = self._known.predicted
        return sum(predicted(i, self._best) - predicted(i, picks) for i in touched)

    def _touched(self, change: dict[int, Factors]) -> list[int]:
        readers = (reader for index in change for reader in self._readers[index])
        return sorted({*change, *readers})

    def _changed(self, change: dict[int, Factors]) -> list[Factors]:
        return [change.get(i, pick) for i, pick in enumerate(self._best)]

    def _cost(self, layers: Iterable[int], picks: list[Factors]) -> float:
        """Of these layers, scheduled; the estimates learn from each."""
        total = 0.0
        for index in layers:
            cost = self._scorer.score(index, picks).cost
            self._known.learn(index, picks, cost)
            total += cost
        return total

    def _fits(self, picks: list[Factors]) -> bool:
        mapped = tuple(
            replace(self._scorer.score(i, picks).mapping, layer=layer)
            for i, layer in enumerate(self._scorer.layers)
        )
        demands = memory_demands(self._program.graph, NetworkMapping(mapped, 1.0, 1.0))
        plan = plan_memory(demands, self._program.target, self._boundary)
        return plan.peak <= plan.limit

    def _show(self) -> None:
        self._progress("searching cuts", self._scorer.scheduled, self._effort.scheduled)
