"""Spread a network over chips: choose the borders of the stages, and compile each stage.

Borders are chosen over estimates: cycles of the layers as if one chip ran them all and memory were
no limit, and the host link's bytes. The stages chosen are then compiled for real; what they take
replaces the estimate, a stage that does not fit is ruled out with all that contain it, and the
borders are chosen again, until every stage of the choice has been compiled.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from zapdeploy.arrays import FloatArray
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.mapping.memory import CapacityViolation
from zapdeploy.compile.multichip.chain_partition import cut
from zapdeploy.compile.multichip.chip_capacity import chips_violation, without_chips
from zapdeploy.compile.multichip.pipeline import Pipeline, pipeline_of
from zapdeploy.compile.multichip.stages import (
    border_bytes,
    bytes_in_and_out,
    core_memory,
    crossings,
    demands,
    keeps_state_whole,
    stage_graph,
    stage_seconds,
)
from zapdeploy.compile.passes.split_block_sparse import SplitBlockSparse
from zapdeploy.compile.program.build import build_program, unconstrained_cycles
from zapdeploy.compile.program.capacity import framebuffer_violation
from zapdeploy.compile.program.program import Options, Origin, Program
from zapdeploy.errors import UsageError
from zapdeploy.hardware_targets import Target
from zapdeploy.progress import Progress

Border = tuple[int, int]
Cut = tuple[Border, ...]
MOST_OF_A_CHIP = 0.6  # that a sparse product's weights may take; the fullest core has more of them
_ROUNDS = 24  # choices before one of compiled stages alone is good enough


def build_pipeline(
    graph: Graph,
    origin: Origin,
    target: Target,
    target_toml: str,
    options: Options,
    micro_batch: int,
    chips: int | None,
    progress: Progress = lambda what, done, total: None,
) -> Pipeline:
    """Compile a network that takes one micro-batch at a time, for so many chips.

    Without `chips`: for one if it fits there, else for as few as it takes. When it does not fit,
    `violation` says why.
    """
    stage_options = replace(options, batch=micro_batch, chips=1)
    request = (graph, origin, target, target_toml, stage_options, progress)
    whole = None if chips is not None and chips > 1 else build_program(*request)
    if whole is None or not (whole.fits or chips == 1):
        graph = SplitBlockSparse(int(MOST_OF_A_CHIP * core_memory(target)))(graph)
    partitioner = Partitioner(graph, *request[1:])
    if whole is None and chips is not None:
        stages = partitioner.over(chips)
        if stages is None:
            refused = pipeline_of(graph, options, (build_program(graph, *request[1:]),))
            return replace(refused, violation=partitioner.violation(chips))
        return pipeline_of(graph, options, stages)
    assert whole is not None
    stages = None if whole.fits or chips == 1 else partitioner.over_fewest()
    if stages is not None:
        return pipeline_of(graph, replace(options, chips=len(stages)), stages)
    violation = whole.violation and (
        whole.violation if chips == 1 else without_chips(whole.violation)
    )
    return replace(pipeline_of(graph, replace(options, chips=1), (whole,)), violation=violation)


class Partitioner:
    """Holds what is known about the stages of one network, so that several numbers can be tried.

    `options.batch` is the number of frames that a stage takes at a time.
    """

    def __init__(
        self,
        graph: Graph,
        origin: Origin,
        target: Target,
        target_toml: str,
        options: Options,
        progress: Progress = lambda what, done, total: None,
    ) -> None:
        self.layers = group_layers(graph)
        self._graph, self._origin, self._options = graph, origin, replace(options, chips=1)
        self._target, self._toml, self._progress = target, target_toml, progress
        self._bytes = bytes_in_and_out(crossings(graph, self.layers), len(self.layers), target)
        self._demands = demands(self.layers, self._bytes[0] + self._bytes[1], target)
        self._possible = self._demands.possible & keeps_state_whole(graph, self.layers)
        self._compiled: dict[Border, Program] = {}

    def over(self, chips: int) -> tuple[Program, ...] | None:
        """The stages' Programs, in order; None when the network does not fit so many chips."""
        if chips > len(self.layers):
            raise UsageError(
                f"--chips must be at most the network's {len(self.layers)} layers, not {chips}"
            )
        choices = 0
        while (borders := self._choose(chips, choices)) is not None:
            fresh = [border for border in borders if border not in self._compiled]
            if not fresh:
                return tuple(self._compiled[border] for border in borders)
            for border in fresh:
                self._progress("compiling stages", len(borders) - len(fresh), len(borders))
                self._compile(border)
            choices += 1
        return None

    def over_fewest(self) -> tuple[Program, ...] | None:
        """The same for the smallest number of chips, from two on, that the network fits."""
        chips = self.enough(2)
        while chips is not None and (stages := self.over(chips)) is None:
            chips = self.enough(chips + 1)
        return None if chips is None else stages

    def violation(self, chips: int) -> CapacityViolation:
        """Why the network does not fit so many chips, once `over` has said so."""
        tried = [p.violation for p in self._compiled.values() if p.violation is not None]
        enough = self.enough(chips + 1)
        found = chips_violation(self.layers, self._demands, tried, self._target, chips)
        more = () if enough is None else (f"{enough} chips",)
        return replace(found, hints=found.hints + more)

    def enough(self, least: int) -> int | None:
        """The fewest chips, of `least` and more, for which some cut is not ruled out yet."""
        numbers = range(least, len(self.layers) + 1)
        return next((n for n in numbers if cut(self._possible, n) is not None), None)

    @cached_property
    def _seconds(self) -> tuple[FloatArray, FloatArray]:
        """Between micro-batches, and of one alone, of every stage; estimated until compiled."""
        cycles = unconstrained_cycles(
            self._graph, self._target, self._options.objective, self._progress
        )
        before = np.concatenate([[0], np.cumsum(cycles)])
        out = self._bytes[1] / self._target.boundary_width
        return stage_seconds(before[None, :] - before[:, None] + out, *self._bytes, self._target)

    def _choose(self, chips: int, choices: int) -> Cut | None:
        if cut(self._possible, chips) is None:
            return None  # before anything is mapped
        compiled = np.zeros_like(self._possible)
        for border in self._compiled:
            compiled[border] = True
        found = None
        if choices >= _ROUNDS:
            found = cut(self._possible & compiled, chips, *self._seconds)
        return found or cut(self._possible, chips, *self._seconds)

    def _compile(self, border: Border) -> None:
        """Compile one stage, and put what it takes in the place of its estimate."""
        first, end = border
        graph = stage_graph(self._graph, self.layers, first, end)
        program = build_program(
            graph, self._origin, self._target, self._toml, self._options, self._progress
        )
        self._compiled[border] = program
        if program.fits:
            cycles = sum(layer.cycles for layer in program.layers) + program.output_cycles
            into, out = map(np.array, border_bytes(graph, self._target))
            found = stage_seconds(np.array(cycles), into, out, self._target)
            for table, seconds in zip(self._seconds, found, strict=True):
                table[border] = seconds
        elif framebuffer_violation(graph, self.layers[first:end], self._target) is not None:
            self._possible[border] = False  # a longer stage may receive and send less
        else:
            self._possible[: first + 1, end:] = False
