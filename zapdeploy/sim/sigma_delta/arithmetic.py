"""Requantization in integers that gives what the graph's float32 formulas give.

A float32 multiplier is an integer of 24 bits times a power of two. The product with an integer of
at most 24 bits is exact in 64 bits; rounding it to 24 significant bits, then to a whole number,
half to even both times, is what float32 multiplication and rounding do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zapdeploy.compile.regions import IntArray
from zapdeploy.sim.sigma_delta.network import Requantization

SIGNIFICANT_BITS = 24


def mantissas(multipliers: NDArray[np.float32]) -> tuple[IntArray, int]:
    """Integers M and one shift s such that m = M / 2^s exactly, for all multipliers.

    The integers have 24 bits where the multipliers' magnitudes are alike; s is set by the smallest.
    Raises ValueError where the largest then takes more than 38 bits, so that products stay exact.
    """
    fraction, exponent = np.frexp(multipliers.astype(np.float64))
    shift = SIGNIFICANT_BITS - int(exponent.min())
    scaled = np.ldexp(fraction, exponent + shift)
    if np.abs(scaled).max() >= 2.0**38:
        raise ValueError("multipliers differ too much")
    return scaled.astype(np.int64), shift


def requantize(first: IntArray, second: IntArray, by: Requantization) -> IntArray:
    """Codes of a population from its two sums."""
    significant = _to_24_bits if by.rounds_first else np.asarray
    inner = significant((second + by.second_bias) * by.second_multiplier + by.offset)
    total = significant((first + by.bias) * by.multiplier + inner)
    left, right = max(-by.shift, 0), max(by.shift, 0)
    codes = _half_even(total << left, np.full(total.shape, right)) - by.zero
    return np.clip(codes, by.low, by.high)


def _to_24_bits(values: IntArray) -> IntArray:
    dropped = np.maximum(_bit_length(values) - SIGNIFICANT_BITS, 0)
    return _half_even(values, dropped) << dropped


def _bit_length(values: IntArray) -> IntArray:
    """Bits of the magnitude; float64 holds these products exactly."""
    return np.frexp(np.abs(values).astype(np.float64))[1].astype(np.int64)


def _half_even(values: IntArray, places: IntArray) -> IntArray:
    """values / 2^places to the nearest whole number, ties to the even one."""
    half = np.where(places > 0, np.int64(1) << np.maximum(places - 1, 0), 0)
    nudged = values + half - 1 + ((values >> places) & 1)
    return np.where(places > 0, nudged >> places, values)
