"""Integer weights and biases of one layer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapdeploy.quantize.weights import INT32_MAX, LayerInput, QuantizedWeight, quantize_weight

BOUNDS = {8: (-127, 127), 4: (-8, 7), 2: (-2, 1)}


def reads(scale: float = 0.01, reach: int = 255, means: np.ndarray | None = None) -> LayerInput:
    return LayerInput(np.float32(scale), reach, np.zeros((1, 1)) if means is None else means)


def quantized(weight: np.ndarray, bits: int, bias: np.ndarray | None = None) -> QuantizedWeight:
    means = np.zeros((1, weight[0].size))
    return quantize_weight(weight.astype(np.float32), bias, 0, bits, reads(means=means))


def test_8_bit_by_hand() -> None:
    """Largest weight 2.54, so one step is 2.54 / 127 = 0.02, and 1.0 is 50 steps."""
    result = quantized(np.array([[2.54, 1.0, -0.03], [1.27, 0.0, -1.27]]), 8)
    np.testing.assert_allclose(result.scales, [0.02, 0.01], rtol=1e-6)
    np.testing.assert_array_equal(result.values, [[127, 50, -2], [127, 0, -127]])


def test_bias_by_hand() -> None:
    """Input step 0.01 times weight step 0.02 is 0.0002; 0.1 is 500 of them."""
    result = quantized(np.array([[2.54, 1.0]]), 8, np.array([0.1], np.float32))
    assert result.bias is not None
    assert result.bias.tolist() == [500]
    assert result.bias_scales == np.float32(0.01) * result.scales


def test_the_bias_takes_back_the_mean_error_of_rounding() -> None:
    """By hand: 2.54 and 0.01 become 127 and 0 steps of 0.02 (0.5 rounds to even); the lost 0.01
    times a mean input of 6 is 0.06, which is 300 steps of 0.0002 on top of the bias's 500.
    """
    weight = np.array([[2.54, 0.0099]], np.float32)
    source = reads(means=np.array([[0.0, 6.0]]))
    result = quantize_weight(weight, np.array([0.1], np.float32), 0, 8, source)
    assert result.values.tolist() == [[127, 0]]
    assert result.bias is not None
    assert result.bias.tolist() == [500 + 297]


@pytest.mark.parametrize("bits", [4, 2])
def test_low_bits_clip_where_that_lowers_the_error(bits: int) -> None:
    rows = np.random.default_rng(0).standard_normal((16, 512)).astype(np.float32)
    result = quantized(rows, bits)
    step = np.abs(rows).max(axis=1, keepdims=True) / BOUNDS[bits][1]
    unclipped = np.clip(np.rint(rows / step), *BOUNDS[bits]) * step
    error = np.mean((result.values * result.scales[:, None] - rows) ** 2)
    assert error < 0.75 * np.mean((unclipped - rows) ** 2)


def test_4_bit_gaussian_reaches_the_known_signal_to_noise() -> None:
    """The best 16-level uniform quantizer of a Gaussian leaves a noise of 0.01154, that is 19.38 dB
    (Max 1960); ours has a level at zero instead of a half step, which costs a little.
    """
    rows = np.random.default_rng(0).standard_normal((4, 100_000)).astype(np.float32)
    result = quantized(rows, 4)
    noise = np.mean((result.values * result.scales[:, None] - rows) ** 2)
    assert 19.0 < -10 * np.log10(noise) < 19.45


def test_channels_lie_along_the_axis() -> None:
    weight = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    across = quantize_weight(weight, None, 1, 4, reads(means=np.zeros((1, 6))))
    along = quantize_weight(weight.T.copy(), None, 0, 4, reads(means=np.zeros((1, 6))))
    np.testing.assert_array_equal(across.values, along.values.T)
    np.testing.assert_array_equal(across.scales, along.scales)
    assert across.bias is None


def test_each_group_is_corrected_with_its_own_mean() -> None:
    """Two channels with the same weights, in two groups; only the second group's input is not 0."""
    weight = np.array([[2.54, 0.0099], [2.54, 0.0099]], np.float32)
    source = reads(means=np.array([[0.0, 0.0], [0.0, 6.0]]))
    result = quantize_weight(weight, np.zeros(2, np.float32), 0, 8, source)
    assert result.bias is not None
    assert result.bias.tolist() == [0, 297]


def test_a_dead_channel_keeps_its_bias() -> None:
    result = quantized(np.array([[1.0, -1.0], [0.0, 0.0]]), 8, np.array([0.0, 3.0], np.float32))
    assert result.bias is not None
    assert result.bias[1] * result.bias_scales[1] == pytest.approx(3.0, rel=1e-5)


def test_a_dead_layer_does_not_divide_by_zero() -> None:
    result = quantized(np.zeros((2, 3)), 4, np.array([0.0, 1.0], np.float32))
    assert (result.scales > 0).all()
    assert (result.values == 0).all()


def test_a_long_accumulation_cannot_overflow() -> None:
    """100,000 equal weights at 127 against inputs of 255 would reach 3.2e9, beyond int32."""
    result = quantized(np.ones((2, 100_000)), 8, np.zeros(2, np.float32))
    largest = np.abs(result.values.astype(np.int64)).sum(axis=1) * 255
    assert (largest < INT32_MAX).all()
    assert (largest > 0.9 * INT32_MAX).all()
    np.testing.assert_allclose(result.values[0] * result.scales[0], 1.0, rtol=0.01)


@given(
    st.integers(1, 6),
    st.integers(1, 40),
    st.sampled_from([8, 4, 2]),
    st.floats(1e-6, 1e3),
    st.integers(0, 1000),
)
def test_any_layer_stays_in_bounds(
    channels: int, fan_in: int, bits: int, size: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    weight = (random.standard_normal((channels, fan_in)) * size).astype(np.float32)
    bias = (random.standard_normal(channels) * size).astype(np.float32)
    result = quantized(weight, bits, bias)
    low, high = BOUNDS[bits]
    assert result.values.min() >= low
    assert result.values.max() <= high
    inside = (result.values > low) & (result.values < high)
    distance = np.abs(result.values * result.scales[:, None] - weight)
    assert (distance <= result.scales[:, None] * 0.5001)[inside].all()
