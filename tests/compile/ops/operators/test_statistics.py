"""Statistics from sums of codes: exact, the same over any parts, and what NumPy says in float64."""

from __future__ import annotations

import numpy as np
import pytest

from tests.compile.ops.build import UINT8, call, plain, quantized
from zapdeploy.compile.graph import INT64, Array, Call
from zapdeploy.compile.ops.base import operator

_X = quantized("x", (2, 3, 4, 5), UINT8, 0.02, 77)
_SUM, _SQUARES = plain("s1", (2, 3, 1), INT64), plain("s2", (2, 3, 1), INT64)
_GIVEN = {"count": 20, "scale": 0.02}


def _summed(power: int, keepdims: int = 1) -> Call:
    out = plain("y", (), INT64)
    return call("SumOfCodes", [_X], out, axes=(2, 3), keepdims=keepdims, power=power)


CALLS = {
    "sum of codes": _summed(1),
    "sum of squares": _summed(2, keepdims=0),
    "mean of sum": call("MeanOfSum", [_SUM], plain("y", ()), **_GIVEN),
    "deviation of sums": call(
        "DeviationOfSums", [_SUM, _SQUARES], plain("y", ()), **_GIVEN, epsilon=1e-5
    ),
}
CODES = np.random.default_rng(3).integers(0, 256, _X.shape).astype(np.uint8)


def _evaluate(c: Call, *arrays: Array) -> Array:
    return operator(c.node.op).evaluate(c, arrays)[0]


@pytest.mark.parametrize("power", [1, 2])
def test_sums_are_exact(power: int) -> None:
    expected = ((CODES.astype(np.int64) - 77) ** power).sum(axis=(2, 3), keepdims=True)
    np.testing.assert_array_equal(_evaluate(_summed(power), CODES), expected)


def test_statistics() -> None:
    real = (CODES.astype(np.float64) - 77) * 0.02
    sums = [_evaluate(_summed(power), CODES) for power in (1, 2)]
    mean = _evaluate(CALLS["mean of sum"], sums[0])
    np.testing.assert_allclose(mean, real.mean(axis=(2, 3), keepdims=True), rtol=1e-7)
    factor = _evaluate(CALLS["deviation of sums"], *sums)
    variance = real.var(axis=(2, 3), keepdims=True)
    np.testing.assert_allclose(factor, 1 / np.sqrt(variance + 1e-5), rtol=1e-6)


def test_equal_codes_have_no_variance() -> None:
    """Where rounding would leave less than nothing, the variance is 0."""
    codes = np.full(_X.shape, 255, np.uint8)
    sums = [_evaluate(_summed(power), codes) for power in (1, 2)]
    factor = _evaluate(CALLS["deviation of sums"], *sums)
    np.testing.assert_allclose(factor, 1 / np.sqrt(1e-5), rtol=1e-6)
