"""Bits per layer as an integer program: the least noise within a budget, or the least cost.

Layer l gets one option o: minimise sum(x[l, o] cost[l, o]) with sum over o of x[l, o] = 1 and
sum(x[l, o] noise[l, o]) <= limit, or the other way round. SciPy's HiGHS solves it to optimality.
Noise is what a layer's option adds to the output; noises of different layers add up as powers,
because they are nearly independent.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import UsageError
from zapdeploy.extras import load
from zapdeploy.platforms import flush_c_output
from zapdeploy.quantize.recipes import BitChoice

Quantity = Literal["energy_j", "latency_s", "noise"]
FRONT_POINTS = 12


@dataclass(frozen=True)
class Option:
    """One layer at some bits: output noise over output power, and what the layer costs a frame."""

    bits: BitChoice
    noise: float
    energy_j: float
    latency_s: float


@dataclass(frozen=True)
class Budget:
    """At most `limit` of a quantity: joules or seconds per frame, or noise over power."""

    quantity: Quantity
    limit: float


@dataclass(frozen=True)
class Choice:
    """An option for every layer, and its sums; `rest` is what no option changes."""

    bits: Mapping[str, BitChoice]
    noise: float
    energy_j: float
    latency_s: float

    @property
    def snr_db(self) -> float:
        """The predicted signal-to-noise ratio of the output."""
        return snr_db(self.noise)


@dataclass(frozen=True)
class Table:
    """Options by layer. rest_*: costs that belong to no layer; rest_noise: noise at 8 bits."""

    layers: Mapping[str, Sequence[Option]]
    rest_energy_j: float = 0.0
    rest_latency_s: float = 0.0
    rest_noise: float = 0.0

    def rest(self, quantity: Quantity) -> float:
        """The part of a quantity that no option changes."""
        return float(getattr(self, f"rest_{quantity}"))


def snr_db(noise: float) -> float:
    """The signal-to-noise ratio of an output with that noise power over its own."""
    return float(-10 * np.log10(max(noise, 1e-30)))


def choose(table: Table, objective: Quantity, budgets: Sequence[Budget]) -> Choice:
    """The choice with the least `objective` within all budgets.

    Raises UsageError when no choice meets them, saying what the best reachable value is.
    """
    optimize = load("scipy.optimize", "quantize", "choose bits per layer")
    options = [(name, option) for name, found in table.layers.items() for option in found]
    rows = np.array([_layer_row(options, name) for name in table.layers])
    possible, constraints = np.ones(len(options)), [optimize.LinearConstraint(rows, 1, 1)]
    for budget in budgets:
        values = np.array([getattr(option, budget.quantity) for _, option in options])
        room = budget.limit - table.rest(budget.quantity)
        within = _least_with(values, rows) <= room
        possible *= within
        # On a scale on which the solver's absolute tolerance is small against what is left to use.
        scale = float(np.abs(values[within]).max(initial=0.0)) or 1.0
        constraints.append(
            optimize.LinearConstraint(within * values[None, :] / scale, -np.inf, room / scale)
        )
    values, _ = _scaled(options, objective)
    with _mute():
        solved = optimize.milp(
            values,
            integrality=np.ones(len(options)),
            bounds=optimize.Bounds(0, possible),
            constraints=constraints,
        )
    if solved.x is None:
        raise UsageError(_unreachable(table, budgets))
    return _choice(table, [option for option, x in zip(options, solved.x, strict=True) if x > 0.5])


@contextlib.contextmanager
def _mute() -> Iterator[None]:
    """Nothing that compiled code writes reaches standard output.

    HiGHS (in SciPy 1.17) prints a line of its own whatever its options say: it would spoil --json.
    """
    sys.stdout.flush()
    flush_c_output()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
        flush_c_output()
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def choice_of(table: Table, bits: Mapping[str, BitChoice]) -> Choice:
    """These bits, with their sums from the table."""
    return _choice(
        table,
        [
            (name, option)
            for name, found in table.layers.items()
            for option in found
            if option.bits == bits[name]
        ],
    )


def pareto_front(
    table: Table, cost: Quantity = "energy_j", points: int = FRONT_POINTS
) -> tuple[Choice, ...]:
    """Choices between the cheapest and the most exact, none of which beats another in both."""
    best, cheapest = choose(table, "noise", ()), choose(table, cost, ())
    low = max(best.noise - table.rest_noise, 1e-15)
    high = max(cheapest.noise - table.rest_noise, low * 1.001)
    found = [cheapest]
    for limit in np.geomspace(low * (1 + 1e-9), high, points):
        found.append(choose(table, cost, [Budget("noise", table.rest_noise + float(limit))]))
    kept: list[Choice] = []
    for candidate in sorted(found, key=lambda c: (getattr(c, cost), c.noise)):
        if not kept or candidate.noise < kept[-1].noise * (1 - 1e-9):
            kept.append(candidate)
    return tuple(kept)


def _layer_row(options: Sequence[tuple[str, Option]], name: str) -> NDArray[np.float64]:
    return np.array([float(owner == name) for owner, _ in options])


def _least_with(values: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each option the least sum of values of a choice with it. rows: [layers, options]."""
    least = np.where(rows > 0, values, np.inf).min(axis=1)
    found: NDArray[np.float64] = values + least.sum() - least @ rows
    return found


def _scaled(
    options: Sequence[tuple[str, Option]], quantity: Quantity
) -> tuple[NDArray[np.float64], float]:
    """Values on a scale that suits a solver's tolerances, and the scale."""
    values = np.array([getattr(option, quantity) for _, option in options], np.float64)
    scale = float(np.abs(values).max()) or 1.0
    return values / scale, scale


def _choice(table: Table, picked: Sequence[tuple[str, Option]]) -> Choice:
    return Choice(
        bits={name: option.bits for name, option in picked},
        noise=table.rest_noise + sum(option.noise for _, option in picked),
        energy_j=table.rest_energy_j + sum(option.energy_j for _, option in picked),
        latency_s=table.rest_latency_s + sum(option.latency_s for _, option in picked),
    )


def _unreachable(table: Table, budgets: Sequence[Budget]) -> str:
    """What the best value of each budgeted quantity is, when they cannot be met."""
    parts = []
    for budget in budgets:
        least = table.rest(budget.quantity) + sum(
            min(getattr(option, budget.quantity) for option in found)
            for found in table.layers.values()
        )
        parts.append(_described(budget, least))
    return (
        f"budget must be one that some choice of bits meets, not {' and '.join(parts)}; "
        "give a looser one"
    )


def _described(budget: Budget, least: float) -> str:
    if budget.quantity == "noise":
        wanted, best = snr_db(budget.limit), snr_db(least)
        return f"an output SNR of {wanted:.1f} dB (most possible: {best:.1f} dB)"
    unit = "J" if budget.quantity == "energy_j" else "s"
    return f"{budget.limit:.3g} {unit} (least possible: {least:.3g} {unit})"
