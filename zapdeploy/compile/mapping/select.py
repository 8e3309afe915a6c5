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
from numpy.typing import NDArray

Table = NDArray[np.float64]
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
    table: Table


def choose(own: Sequence[Table], pairs: Mapping[tuple[int, int], Table]) -> Choice:
    """Minimise sum(own[i][x_i]) + sum(pairs[i, j][x_i, x_j]) over all x."""
    factors = [_Factor((i,), np.asarray(table, np.float64)) for i, table in enumerate(own)]
    factors += [_Factor(pair, np.asarray(table, np.float64)) for pair, table in pairs.items()]
    sizes = [len(table) for table in own]
    decided: dict[int, int] = {}
    steps: list[tuple[int, _Factor]] = []
    exact = True
    remaining = set(range(len(own)))
    while remaining:
        variable, size = _cheapest(factors, remaining, sizes)
        if size > LARGEST_TABLE:
            variable = max(remaining, key=lambda v: (len(_scope(factors, v)), -v))
            decided[variable] = int(np.argmin(own[variable]))
            factors = [_restrict(f, variable, decided[variable]) for f in factors]
            exact = False
        else:
            joined, factors = _join(factors, variable, sizes)
            steps.append((variable, joined))
            factors.append(_Factor(joined.variables[1:], joined.table.min(axis=0)))
        remaining.remove(variable)
    for variable, joined in reversed(steps):
        column: Any = (slice(None), *(decided[v] for v in joined.variables[1:]))
        decided[variable] = int(np.argmin(joined.table[column]))
    cost = float(sum(float(f.table) for f in factors))
    return Choice(tuple(decided[i] for i in range(len(own))), cost, exact)


def _scope(factors: Sequence[_Factor], variable: int) -> set[int]:
    """The variables that share a table with this one, itself included."""
    return {v for f in factors if variable in f.variables for v in f.variables}


def _cheapest(
    factors: Sequence[_Factor], remaining: set[int], sizes: Sequence[int]
) -> tuple[int, int]:
    """The variable whose elimination makes the smallest table, and that table's size."""
    scopes: dict[int, set[int]] = {v: {v} for v in remaining}
    for factor in factors:
        for variable in factor.variables:
            scopes[variable].update(factor.variables)
    size = {v: int(np.prod([sizes[u] for u in scope], dtype=float)) for v, scope in scopes.items()}
    best = min(size, key=lambda v: (size[v], v))
    return best, size[best]


def _join(
    factors: Sequence[_Factor], variable: int, sizes: Sequence[int]
) -> tuple[_Factor, list[_Factor]]:
    """Sum of all tables with the variable (its axis first), and the other tables."""
    touching = [f for f in factors if variable in f.variables]
    others = [f for f in factors if variable not in f.variables]
    scope = (variable, *sorted(_scope(touching, variable) - {variable}))
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
