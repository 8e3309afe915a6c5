"""Energy = sum(count x price) + static power x time. The one place where events become joules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from zapdeploy.hardware_targets import Figure, Target
from zapdeploy.quantities import Estimate, Provenance

if TYPE_CHECKING:
    from zapdeploy.compile.mapping.cost import FloatArray, Loads


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


def _prices(target: Target) -> dict[str, Figure]:
    """The price of each event that can happen on a target."""
    energy = target.energy
    hop = energy.noc_bit_hop
    macs = {f"macs_{bits}bit": energy.mac(bits) for bits in (16, 8, 4, 2)}
    return {
        **{name: price for name, price in macs.items() if price is not None},
        "vector_ops": energy.vector_op,
        "activation_ops": energy.activation_op,
        "accumulator_bytes": energy.accumulator_byte,
        "memory_bytes": energy.memory_byte,
        "model_bit_hops": hop.model,
        "activation_bit_hops": hop.activation,
        "partial_sum_bit_hops": hop.partial_sum,
        "instruction_bit_hops": hop.instruction,
        "framebuffer_bytes": energy.framebuffer_byte or energy.memory_byte,
        "host_bytes": energy.host_byte,
        "core_cycles": energy.core_cycle,
    }


def price_figures(target: Target) -> dict[str, Figure]:
    """The price behind each part of `energy_parts`."""
    return {**_prices(target), "static": target.energy.static_power}


def dynamic_energy(counts: Counts, target: Target) -> Estimate:
    """Joules of the events alone, with the interval that their prices' brackets leave."""
    return _total(counts, target, 0.0, target.energy.static_power)


def energy_of(counts: Counts, seconds: float, target: Target) -> Estimate:
    """Joules of a run: its events, and the static power over its time."""
    return _total(counts, target, seconds, target.energy.static_power)


def idle_energy(seconds: float, target: Target) -> Estimate:
    """Joules drawn while waiting for the next frame."""
    return _total(Counts(), target, seconds, target.energy.idle_power)


def energy_parts(counts: Counts, seconds: float, target: Target) -> dict[str, Estimate]:
    """The same energy event by event; the parts add up to `energy_of`."""
    empty = Counts()
    parts = {
        name: _total(
            Counts(**{name: getattr(counts, name)}), target, 0.0, target.energy.static_power
        )
        for name in _prices(target)
    }
    parts["static"] = _total(empty, target, seconds, target.energy.static_power)
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
    price, prices = target.energy.price, _prices(target)
    joules = [count * price(prices[name]) for name, count in events.items()]
    return np.sum(joules, axis=0)


def _total(counts: Counts, target: Target, seconds: float, power: Figure) -> Estimate:
    prices = _prices(target)

    def total(price: Callable[[Figure], float]) -> float:
        events = sum(getattr(counts, name) * price(figure) for name, figure in prices.items())
        return events + seconds * price(power)

    return Estimate(
        value=total(target.energy.price),
        low=total(lambda figure: figure.low),
        high=total(lambda figure: figure.high),
        kind=Provenance.MODELLED,
    )
