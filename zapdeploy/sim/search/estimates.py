"""What the mapper's estimates become once some of them have been compared with the schedule."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from zapdeploy.arrays import FloatArray
from zapdeploy.compile.mapping.mapper import Mapper
from zapdeploy.compile.mapping.select import choose
from zapdeploy.sim.search.scoring import Factors, Scorer

Seen = dict[tuple[Factors, tuple[Factors, ...]], float]


class Estimates:
    """Tables of costs of all candidates, moved by what the schedule showed.

    Of a candidate that has been scheduled, the mean difference is added wherever it is used; of one
    that has not, the smallest difference that any candidate of that layer showed, so that it still
    looks good enough to be tried.
    """

    def __init__(self, mapper: Mapper, scorer: Scorer) -> None:
        self._scorer = scorer
        self.candidates = mapper.candidates()
        self._own, self._pairs = mapper.estimates()
        self._number = [{f: n for n, f in enumerate(c)} for c in self.candidates]
        self._seen: dict[Hashable, Seen] = {}

    def predicted(self, index: int, picks: Sequence[Factors]) -> float:
        """The cost of a layer under its pick and those of the layers that it reads."""
        sources = tuple(picks[s] for s in self._scorer.sources(index))
        seen = self._seen.get(self._scorer.form(index), {})
        exact = seen.get((picks[index], sources))
        estimate = self._estimate(index, picks)
        return estimate + (self._shift(seen, picks[index]) if exact is None else exact)

    def learn(self, index: int, picks: Sequence[Factors], cost: float) -> None:
        """A layer was scheduled."""
        sources = tuple(picks[s] for s in self._scorer.sources(index))
        seen = self._seen.setdefault(self._scorer.form(index), {})
        seen[picks[index], sources] = cost - self._estimate(index, picks)

    def choice(self) -> list[Factors]:
        """The cuts that are cheapest as far as is known."""
        own = [table + self._shifts(i) for i, table in enumerate(self._own)]
        pairs = {pair: self._corrected(pair, table) for pair, table in self._pairs.items()}
        picks = choose(own, pairs).picks
        return [self.candidates[i][pick] for i, pick in enumerate(picks)]

    def _estimate(self, index: int, picks: Sequence[Factors]) -> float:
        number = self._number[index][picks[index]]
        cost = float(self._own[index][number])
        for source in set(self._scorer.sources(index)) - {index}:
            cost += float(self._pairs[source, index][self._number[source][picks[source]], number])
        return cost

    def _shift(self, seen: Seen, factors: Factors) -> float:
        of_this = [shift for (own, _), shift in seen.items() if own == factors]
        if of_this:
            return float(np.mean(of_this))
        return min(seen.values(), default=0.0)

    def _shifts(self, index: int) -> FloatArray:
        seen = self._seen.get(self._scorer.form(index), {})
        return np.array([self._shift(seen, factors) for factors in self.candidates[index]])

    def _corrected(self, pair: tuple[int, int], table: FloatArray) -> FloatArray:
        """Pairs that were scheduled cost what they did then."""
        source, reader = pair
        sources = self._scorer.sources(reader)
        if sources[0] != source:
            return table
        table = table.copy()
        seen = self._seen.get(self._scorer.form(reader), {})
        for (own, others), shift in seen.items():
            row, column = self._number[source].get(others[0]), self._number[reader].get(own)
            if row is not None and column is not None:
                table[row, column] += shift - self._shift(seen, own)
        return table
