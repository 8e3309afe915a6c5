"""A residual addition in integers that agrees with the graph for every pair of codes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from zapdeploy.compile.graph import Call, Quantization, Value
from zapdeploy.compile.ops.base import operator
from zapdeploy.compile.regions import IntArray
from zapdeploy.errors import ModelError
from zapdeploy.sim.sigma_delta.arithmetic import mantissas, requantize
from zapdeploy.sim.sigma_delta.network import Requantization

_SHIFTS = (16, 20, 24, 28, 32)
_NUDGES = (0, 1, -1)


def addition(call: Call) -> Requantization:
    """Integer multipliers of an addition of two quantized tensors.

    There are at most 65,536 pairs of codes: all are tried, and the first multipliers are taken with
    which every pair gives the graph's result. Raises ModelError when none do.
    """
    a, b, expected = _all_pairs(call)
    for candidate in _candidates(call):
        if np.array_equal(requantize(a, b, candidate), expected):
            return candidate
    raise ModelError(
        "operands of a residual addition must have scales that integers can join exactly, not "
        f"those of '{call.input(0).name}' and '{call.input(1).name}' (node '{call.node.name}'); "
        "quantize with shared or power-of-two scales"
    )


def _all_pairs(call: Call) -> tuple[IntArray, IntArray, IntArray]:
    """Every pair of codes and the code of its sum, relative to their zero points [1, 1, pairs]."""
    a, b = np.meshgrid(_codes(call.input(0)), _codes(call.input(1)), indexing="ij")
    pair = [a.reshape(1, 1, -1), b.reshape(1, 1, -1)]
    values = [replace(value, shape=pair[0].shape) for value in (*call.inputs, call.output) if value]
    given = [codes.astype(v.element.numpy) for codes, v in zip(pair, values[:2], strict=True)]
    spread = Call(call.node, tuple(values[:2]), (values[2],))
    (out,) = operator(call.node.op).evaluate(spread, given)
    zeros = [_zero(_quantization(v)) for v in values]
    return pair[0] - zeros[0], pair[1] - zeros[1], out.astype(np.int64) - zeros[2]


def _codes(value: Value) -> IntArray:
    """Every code of a tensor: no other can occur."""
    found = _quantization(value)
    return np.arange(found.low, found.high + 1)


def _quantization(value: Value) -> Quantization:
    assert value.quantization is not None
    return value.quantization


def _zero(quantization: Quantization) -> int:
    return int(quantization.zero_point[0])


def _candidates(call: Call) -> Iterator[Requantization]:
    """ONNX Runtime's formula for bytes, then fixed-point forms of the ratios, coarse ones first."""
    a, b, out = (_quantization(v) for v in (call.input(0), call.input(1), call.output))
    yield _as_bytes(a, b, out)
    ratios = [float(q.scale[0]) / float(out.scale[0]) for q in (a, b)]
    limits = (out.low - _zero(out), out.high - _zero(out))
    for shift in _SHIFTS:
        first, second = (round(ratio * (1 << shift)) for ratio in ratios)
        step = 1 << max(shift - 18, 0)
        for nudges in product(_NUDGES, repeat=3):
            parts = (0, first + nudges[0], 0, second + nudges[1], step * nudges[2])
            yield _everywhere(parts, shift, 0, limits, rounds_first=False)


def _as_bytes(a: Quantization, b: Quantization, out: Quantization) -> Requantization:
    """QLinearAdd: fma(a, r_a, fma(b, r_b, z_c - fma(r_a, z_a, r_b z_b))) in float32, as integers.

    float64 holds the product of a 24-bit ratio and a code exactly, so that rounding its sum to
    float32 is one rounding, as in fma.
    """
    ratio_a, ratio_b = a.scale[0] / out.scale[0], b.scale[0] / out.scale[0]
    product_b = np.float64(ratio_b * np.float32(_zero(b)))
    moved = np.float32(np.float64(ratio_a) * _zero(a) + product_b)
    constants = np.asarray([ratio_a, ratio_b, np.float32(_zero(out)) - moved], np.float32)
    used = constants != 0
    whole, shift = mantissas(constants[used])
    first, second, offset = _fill(used, whole)
    parts = (_zero(a), first, _zero(b), second, offset)
    limits = (out.low - _zero(out), out.high - _zero(out))
    return _everywhere(parts, shift, _zero(out), limits, rounds_first=True)


def _fill(used: NDArray[np.bool_], values: IntArray) -> IntArray:
    """The values where they are used, 0 elsewhere."""
    found = np.zeros(len(used), np.int64)
    found[used] = values
    return found


def _everywhere(
    parts: tuple[int, ...],
    shift: int,
    zero: int,
    limits: tuple[int, int],
    *,
    rounds_first: bool,
) -> Requantization:
    """The same numbers for all neurons: bias, multiplier, second's bias and multiplier, offset."""
    bias, one, other_bias, two, offset = (np.full((1, 1, 1), p, np.int64) for p in parts)
    return Requantization(
        bias, one, other_bias, two, offset, shift, zero, *limits, rounds_first=rounds_first
    )
