"""Energy = sum(count x price) + static power x time. The one place where events become joules."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from zapdeploy.arrays import FloatArray
from zapdeploy.compile.mapping.levels import RANDOM, Levels, factor, factor_samples
from zapdeploy.compile.mapping.prices import price_figures, price_samples
from zapdeploy.hardware_targets import Target
from zapdeploy.quantities import Estimate, Provenance

if TYPE_CHECKING:
    from zapdeploy.compile.mapping.cost import Loads


@dataclass(frozen=True)
class Counts:
    """Events of a run over the whole chip. Integers; bytes at the true width of the data."""

    macs_16bit: int = 0
    macs_8bit: int = 0
    macs_4bit: int = 0
    macs_2bit: int = 0
    vector_ops: int = 0
    activation_ops: int = 0
    accumulator_bytes: int = 0
    memory_bytes: int = 0
    model_bit_hops: int = 0
    activation_bit_hops: int = 0
    partial_sum_bit_hops: int = 0
    instruction_bit_hops: int = 0
    framebuffer_bytes: int = 0
    host_bytes: int = 0
    core_cycles: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def as_json(self) -> dict[str, object]:
        """The keys of the command line's contract."""
        networks = ("model", "activation", "partial_sum", "instruction")
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        hops = {n: plain.pop(f"{n}_bit_hops") for n in networks}
        return {**plain, "noc_bit_hops": hops}


def energy_of(
    counts: Counts,
    seconds: float,
    target: Target,
    idle_s: float = 0.0,
    levels: Levels | None = None,
) -> Estimate:
    """Joules of a run: its events, the static power over its time, the idle power while waiting.

    `levels`: how busy the bits behind the events were; without, prices are as stated.
    """
    amounts = _amounts(counts, seconds, idle_s)
    drawn = price_samples(target, by_value=levels is not None)
    factors = {
        name: factor_samples(name, level, target)
        for name, level in (levels or {}).items()
        if amounts.get(name)
    }
    low, high = drawn.quantiles(amounts, factors)
    value = _value(amounts, target, levels)
    return Estimate(value, low, high, Provenance.MODELLED, drawn.interval)


def joules_of(
    counts: Counts, seconds: float, target: Target, levels: Levels | None = None
) -> float:
    """The same at the calibrated prices, without an interval."""
    return _value(_amounts(counts, seconds), target, levels)


def energy_parts(counts: Counts, seconds: float, target: Target) -> dict[str, Estimate]:
    """The same energy event by event: values add up to that of `energy_of`, while intervals do not,
    as what was measured tells the sum better than its parts."""
    empty = Counts()
    parts = {
        name: energy_of(Counts(**{name: getattr(counts, name)}), 0.0, target)
        for name in price_figures(target)
        if hasattr(empty, name)
    }
    parts["static"] = energy_of(empty, seconds, target)
    return parts


def price_loads(loads: Loads, target: Target) -> FloatArray:
    """Joules of the events of candidate cuts, at the calibrated prices [candidates]."""
    events = {
        f"macs_{loads.mac_bits}bit": loads.macs,
        "vector_ops": loads.vector_ops,
        "activation_ops": loads.activation_ops,
        "accumulator_bytes": loads.accumulator_bytes,
        "memory_bytes": loads.memory_bytes,
        "model_bit_hops": loads.model_bit_hops,
        "partial_sum_bit_hops": loads.partial_sum_bit_hops,
        "core_cycles": loads.core_cycles,
    }
    price, prices = target.energy.price, price_figures(target)
    joules = [count * price(prices[name]) for name, count in events.items()]
    return np.sum(joules, axis=0)


def _amounts(counts: Counts, seconds: float, idle_s: float = 0.0) -> dict[str, float]:
    return {**vars(counts), "static": seconds, "idle": idle_s}


def _value(amounts: dict[str, float], target: Target, levels: Levels | None = None) -> float:
    price = target.energy.price
    found = 0.0
    for name, one in price_figures(target, by_value=levels is not None).items():
        busy = factor(name, (levels or {}).get(name, RANDOM), target)
        found += amounts[name] * price(one) * busy
    return found
