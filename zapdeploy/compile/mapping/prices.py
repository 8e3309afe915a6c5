"""Prices of events as distributions, and what a measured power says about them.

A price is known as a bracket. It is taken to lie in it with 90 %: the distribution is log-normal on
either side of the stated value, which is its median, with 5 % below the low end and 5 % above the
high one. Prices are independent of each other, but for powers that the file states alike. Where a
chip's power in a known run was published, the draws are weighted by how well they explain it, and
drawn again: what is left says what that power still leaves open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from zapdeploy.arrays import FloatArray
from zapdeploy.hardware_targets import Figure, Target

Bracket = tuple[float, float, float]
SAMPLES = 10_000
LEVELS = (0.05, 0.95)
_PRIOR_SAMPLES = 120_000  # of which a measured power within a few per cent leaves some thousand
_Z = 1.6448536269514722  # standard deviations from the middle to the 95th percentile


@dataclass(frozen=True, eq=False)
class PriceSamples:
    """`prices` [samples, names]: joint draws of all prices and powers, by `names`."""

    names: tuple[str, ...]
    prices: FloatArray
    interval: str  # in words, what the draws are conditioned on

    def totals(
        self, amounts: dict[str, float], factors: Mapping[str, FloatArray | float] | None = None
    ) -> FloatArray:
        """Joules of so many events and seconds, draw by draw [samples]; prices times `factors`."""
        totals = np.zeros(len(self.prices))
        for column, name in enumerate(self.names):
            if amounts.get(name):
                times = (factors or {}).get(name, 1.0)
                totals += self.prices[:, column] * amounts[name] * times
        return totals

    def quantiles(
        self, amounts: dict[str, float], factors: Mapping[str, FloatArray | float] | None = None
    ) -> tuple[float, float]:
        """The 5th and the 95th percentile of the joules."""
        low, high = np.quantile(self.totals(amounts, factors), LEVELS)
        return float(low), float(high)


def price_figures(target: Target, by_value: bool = False) -> dict[str, Figure]:
    """The price of each event that can happen on a target, and "static" and "idle" power.

    `by_value`: the prices of random data, where what zeros save is counted and not assumed.
    """
    energy = target.energy
    if by_value:
        energy = energy.model_copy(update={"zero_gating": None})
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
        "static": energy.static_power,
        "idle": energy.idle_power,
    }


def price_samples(target: Target, by_value: bool = False) -> PriceSamples:
    """Draws of a target's prices, conditioned on its `calibration` if its file has one."""
    figures = price_figures(target, by_value)
    brackets = tuple((f.low, f.value, f.high) for f in figures.values())
    measured = target.calibration
    if measured is None:
        return _samples(tuple(figures), brackets, None, "90 %, from the prices' brackets")
    amounts = {**measured.counts, "static": measured.time.value}
    observed = tuple(amounts.get(name, 0.0) / measured.time.value for name in figures)
    spread = (measured.power.high - measured.power.low) / (2 * _Z)
    words = f"90 %, given {measured.power.text} in {measured.network}"
    return _samples(tuple(figures), brackets, (observed, measured.power.value, spread), words)


@lru_cache(maxsize=16)
def _samples(
    names: tuple[str, ...],
    brackets: tuple[Bracket, ...],
    observed: tuple[tuple[float, ...], float, float] | None,
    interval: str,
) -> PriceSamples:
    random = np.random.default_rng(20231019)
    prior = draw(random, brackets, SAMPLES if observed is None else _PRIOR_SAMPLES)
    if observed is None:
        return PriceSamples(names, prior, interval)
    per_second, power, spread = observed
    weight = likelihood(prior @ np.array(per_second), power, spread)
    chosen = random.choice(len(prior), SAMPLES, p=weight)
    return PriceSamples(names, prior[chosen], interval)


def draw(random: np.random.Generator, brackets: tuple[Bracket, ...], samples: int) -> FloatArray:
    """Draws from the brackets [samples, brackets]; the last two, if equal, are one number."""
    low, middle, high = np.array(brackets).T
    place = random.standard_normal((samples, len(brackets)))
    if len(brackets) > 1 and brackets[-1] == brackets[-2]:
        place[:, -1] = place[:, -2]  # idle power that equals static power
    return spread_over(place, low, middle, high)


def spread_over(place: FloatArray, low: Any, middle: Any, high: Any) -> FloatArray:
    """Values at `place` standard deviations from the median of each bracket [..., brackets].

    A bracket that begins at 0 has no logarithm: it is normal on that side, cut off at 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        above = np.exp(place / _Z * np.log(high / middle))
        below = np.exp(place / _Z * np.log(middle / low))
        above, below = (np.where(np.asarray(middle) > 0, each, 0.0) for each in (above, below))
    straight = np.maximum(1 + place / _Z * (1 - np.divide(low, np.maximum(middle, 1e-300))), 0)
    factor = np.where(place >= 0, above, np.where(np.asarray(low) > 0, below, straight))
    return np.asarray(np.where(np.asarray(middle) > 0, middle * factor, 0.0), np.float64)


def likelihood(found: FloatArray, measured: float, spread: float) -> FloatArray:
    """Normalized weights of draws that would have shown `found`, where `measured` was read."""
    away = -0.5 * ((found - measured) / spread) ** 2
    weight = np.exp(away - away.max())
    return np.asarray(weight / weight.sum(), np.float64)
