"""Choose one candidate per layer so that the sum over layers and transfers is smallest.

The costs form a graph: a table per layer, and a table per pair of layers that exchange a tensor.
Eliminating one layer after the other (the one that makes the smallest new table first) finds the
exact minimum; networks with branches and residual additions stay narrow enough for that. Should a
table still grow too large, the layer with most neighbours is fixed to its own best candidate and
the result says that it is not exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zapdeploy.arrays import FloatArray

LARGEST_TABLE = 4_000_000


@dataclass(frozen=True)
class Choice:
    """The candidate chosen for each variable, the sum, and whether it is the exact minimum."""

    picks: tuple[int, ...]
    cost: float
    exact: bool


@dataclass(frozen=True, eq=False)
class _Factor:
    variables: tuple[int, ...]
    table: FloatArray


def choose(own: Sequence[FloatArray], pairs: Mapping[tuple[int, int], FloatArray]) -> Choice:
    """Minimise sum(own[i][x_i]) + sum(pairs[i, j][x_i, x_j]) over all x."""
    factors = [_Factor((i,), np.asarray(table, np.float64)) for i, table in enumerate(own)]
    factors += [_Factor(pair, np.asarray(table, np.float64)) for pair, table in pairs.items()]
    sizes = [len(table) for table in own]
    order = _Order(factors, sizes)
    decided: dict[int, int] = {}
    steps: list[tuple[int, _Factor]] = []
    exact = True
    while order.remaining:
        variable, size = order.cheapest()
        if size > LARGEST_TABLE:
            variable = order.most_connected()
            decided[variable] = int(np.argmin(own[variable]))
            factors = [_restrict(f, variable, decided[variable]) for f in factors]
            order.fix(variable)
            exact = False
        else:
            joined, factors = _join(factors, variable, sizes)
            steps.append((variable, joined))
            factors.append(_Factor(joined.variables[1:], joined.table.min(axis=0)))
            order.eliminate(variable)
    for variable, joined in reversed(steps):
        column: Any = (slice(None), *(decided[v] for v in joined.variables[1:]))
        decided[variable] = int(np.argmin(joined.table[column]))
    cost = float(sum(float(f.table) for f in factors))
    return Choice(tuple(decided[i] for i in range(len(own))), cost, exact)


class _Order:
    """Which variables share a table with which, and how large a table each would make."""

    def __init__(self, factors: Sequence[_Factor], sizes: Sequence[int]) -> None:
        self._logs = np.log2(np.maximum(sizes, 1))
        self._scopes: dict[int, set[int]] = {v: {v} for v in range(len(sizes))}
        for factor in factors:
            for variable in factor.variables:
                self._scopes[variable].update(factor.variables)
        self._sizes = {v: self._size(v) for v in self._scopes}

    @property
    def remaining(self) -> bool:
        return bool(self._scopes)

    def cheapest(self) -> tuple[int, float]:
        """The variable whose elimination makes the smallest table, and that table's size."""
        best = min(self._sizes, key=lambda v: (self._sizes[v], v))
        return best, self._sizes[best]

    def most_connected(self) -> int:
        return max(self._scopes, key=lambda v: (len(self._scopes[v]), -v))

    def eliminate(self, variable: int) -> None:
        """Its neighbours share a table from now on."""
        neighbours = self._scopes.pop(variable) - {variable}
        del self._sizes[variable]
        for other in neighbours:
            self._scopes[other] = (self._scopes[other] | neighbours) - {variable}
            self._sizes[other] = self._size(other)

    def fix(self, variable: int) -> None:
        """It is no variable any more."""
        for other in self._scopes.pop(variable) - {variable}:
            self._scopes[other].discard(variable)
            self._sizes[other] = self._size(other)
        del self._sizes[variable]

    def _size(self, variable: int) -> float:
        return float(np.exp2(sum(self._logs[u] for u in self._scopes[variable])).round())


def _join(
    factors: Sequence[_Factor], variable: int, sizes: Sequence[int]
) -> tuple[_Factor, list[_Factor]]:
    """Sum of all tables with the variable (its axis first), and the other tables."""
    touching = [f for f in factors if variable in f.variables]
    others = [f for f in factors if variable not in f.variables]
    scope = (variable, *sorted({v for f in touching for v in f.variables} - {variable}))
    total = np.zeros([sizes[v] for v in scope])
    for factor in touching:
        order = sorted(range(len(factor.variables)), key=lambda a: scope.index(factor.variables[a]))
        shape = [sizes[v] if v in factor.variables else 1 for v in scope]
        total = total + factor.table.transpose(order).reshape(shape)
    return _Factor(scope, total), others


def _restrict(factor: _Factor, variable: int, pick: int) -> _Factor:
    if variable not in factor.variables:
        return factor
    axis = factor.variables.index(variable)
    rest = tuple(v for v in factor.variables if v != variable)
    return _Factor(rest, np.asarray(factor.table.take(pick, axis=axis)))
