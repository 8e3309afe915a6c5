"""Uniform quantizers with a learned step, in the place of Brevitas' own tensor quantizers.

They round as ONNX's QuantizeLinear does, q = clamp(round_half_even(x / step) + zero point), so that
an exported file computes the same codes. The step's gradient is LSQ's (Esser et al., ICLR 2020):
the straight-through estimator over round and clamp, scaled by 1 / sqrt(elements x largest code).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from brevitas.inject import ExtendedInjector  # type: ignore[import-untyped]
from brevitas.proxy import (  # type: ignore[import-untyped]
    ActQuantProxyFromInjector,
    BiasQuantProxyFromInjector,
    WeightQuantProxyFromInjector,
)
from torch import Tensor, nn

Quantized = tuple[Tensor, Tensor, Tensor, Tensor]  # values, scale, zero point, bits
SMALLEST_STEP = 1e-12
INT32_MAX = 2**31 - 1
SUBTENSOR = [None]  # Brevitas' word for the whole tensor


def round_through(x: Tensor) -> Tensor:
    """Round half to even; the gradient passes."""
    return x + (torch.round(x) - x).detach()


def power_of_two(step: Tensor) -> Tensor:
    """The nearest power of two in the logarithm, exactly; the gradient is that of the step."""
    exponent = torch.round(torch.log2(step.detach()))
    return step + (torch.ldexp(torch.ones_like(step), exponent.to(torch.int32)) - step).detach()


class StepQuantizer(nn.Module):
    """Codes of `bits` bits with a learned step, one or one per channel or index.

    step: float, a scalar or of the values' rank, [channels, 1, ...] or [1, ..., indices]. Weights
    are signed and symmetric (8 bits use -127 to 127); activations are unsigned with a zero point,
    which is fixed. centre: [1, channels, 1], what the graph subtracts in front and the reader's
    bias makes up for. The steps of a weight's channels learn one by one; an activation's keep their
    proportions and learn one factor, as single indices (neurons) see few samples.
    """

    zero_point: Tensor
    bits: Tensor
    pattern: Tensor | None
    centre: Tensor | None

    def __init__(
        self,
        step: Tensor,
        bits: int,
        *,
        signed: bool,
        zero_point: int | Tensor = 0,
        exponents: bool = False,
        centre: Tensor | None = None,
    ) -> None:
        super().__init__()
        step = step.detach().clone().float()
        learned = step if signed else step.mean()
        self.step = nn.Parameter(learned)
        self.register_buffer("pattern", step / learned if step.ndim > learned.ndim else None)
        self.register_buffer("zero_point", torch.as_tensor(zero_point, dtype=torch.float32))
        self.register_buffer("centre", centre)
        self.register_buffer("bits", torch.tensor(float(bits)))
        self.low = 0 if not signed else -127 if bits == 8 else -(2 ** (bits - 1))
        self.high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
        self.exponents = exponents
        self.subtensor_slice_list: list[Any] = SUBTENSOR  # set by Brevitas' GPTQ

    def scale(self) -> Tensor:
        """The step in use: positive, and a power of two where the recipe says so."""
        step = self.step.abs().clamp_min(SMALLEST_STEP)
        step = step if self.pattern is None else step * self.pattern
        return power_of_two(step) if self.exponents else step

    def codes(self, x: Tensor, scale: Tensor) -> Tensor:
        """Integers as float, with gradients where they are inside the range."""
        return torch.clamp(round_through(x / scale) + self.zero_point, self.low, self.high)

    def forward(self, x: Tensor) -> Quantized:
        scale = self._sliced(self.scale())
        if self.training and scale.requires_grad:
            elements = max(x.numel() // self.step.numel(), 1)
            slow = 1 / math.sqrt(elements * max(self.high, 1))
            scale = scale * slow + (scale - scale * slow).detach()
        values = (self.codes(x, scale) - self.zero_point) * scale
        return values, scale, self.zero_point, self.bits

    def seen_by_reader(self, x: Tensor) -> Tensor:
        """What a layer computes on that reads x through this quantizer, its bias left as it was."""
        if self.centre is None:
            return self(x)[0]
        return self(x - self.centre)[0] + self.centre

    def _sliced(self, scale: Tensor) -> Tensor:
        """The steps of the part of a tensor that GPTQ works on."""
        if self.subtensor_slice_list == SUBTENSOR or not scale.ndim:
            return scale
        parts = [
            slice(None) if part is None or length == 1 else slice(*part)
            for part, length in zip(self.subtensor_slice_list, scale.shape, strict=False)
        ]
        return scale[tuple(parts)]


class BiasQuantizer(nn.Module):
    """32-bit codes in units of input step x weight step, which are those of the accumulator.

    Where indices of the input have steps of their own, in units of the smallest.
    """

    bits: Tensor
    zero_point: Tensor

    def __init__(self, source: StepQuantizer, weight: StepQuantizer) -> None:
        super().__init__()
        self._steps = (source, weight)  # not submodules: they belong to other layers
        self.register_buffer("bits", torch.tensor(32.0))
        self.register_buffer("zero_point", torch.tensor(0.0))

    def forward(self, x: Tensor) -> Quantized:
        source, weight = self._steps
        scale = (source.scale().amin() * weight.scale()).reshape(-1)
        codes = torch.clamp(round_through(x / scale), -INT32_MAX, INT32_MAX)
        return codes * scale, scale, self.zero_point, self.bits


def activation_injector(quantizer: StepQuantizer) -> type[ExtendedInjector]:
    """`quantizer` as Brevitas wants an activation's."""

    class Activation(ExtendedInjector):  # type: ignore[misc]
        proxy_class = ActQuantProxyFromInjector
        tensor_quant = quantizer
        signed = False
        narrow_range = False
        float_to_int_impl_type = "ROUND"

    return Activation


def weight_injector(quantizer: StepQuantizer) -> type[ExtendedInjector]:
    """`quantizer` as Brevitas wants a weight's."""

    class Weight(ExtendedInjector):  # type: ignore[misc]
        proxy_class = WeightQuantProxyFromInjector
        tensor_quant = quantizer
        signed = True
        narrow_range = False
        float_to_int_impl_type = "ROUND"

    return Weight


def bias_injector(quantizer: BiasQuantizer) -> type[ExtendedInjector]:
    """`quantizer` as Brevitas wants a bias's."""

    class Bias(ExtendedInjector):  # type: ignore[misc]
        proxy_class = BiasQuantProxyFromInjector
        tensor_quant = quantizer
        signed = True
        narrow_range = False
        requires_input_scale = False
        float_to_int_impl_type = "ROUND"

    return Bias
