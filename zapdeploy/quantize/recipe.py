"""What to quantize to, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from zapdeploy.errors import UsageError
from zapdeploy.quantize.index_ranges import ActivationScales

Form = Literal["qdq", "qoperator", "qcdq", "packed"]

WEIGHT_BITS = (8, 4, 2)
ACTIVATION_BITS = (8, 4)


@dataclass(frozen=True)
class Recipe:
    """Bits of weights and activations, and how the ONNX file expresses them.

    form "qdq": 8-bit QuantizeLinear/DequantizeLinear pairs around float operators. "qoperator":
    the integer operators themselves (QLinearConv, QGemm, ...), 8 bit. "qcdq": as Brevitas writes
    it, low bits held in 8-bit tensors with a Clip to the narrow bounds. "packed": weights in real
    INT4 (opset 21) or INT2 (opset 25) tensors, activations as in "qcdq". ONNX Runtime 1.32 loads
    all of them with its default options but INT2, for which its optimizations must be off.

    Layers that read the network's input or write its output keep at least `keep_first_last` bits,
    in their weights and in the activations that they read.

    activation_scales: "per tensor", as ONNX Runtime's integer kernels want it; "per neuron", one
    for each index of the last axis wherever no reader sums over it (1x1 convolutions over
    [batch, time, neurons]); "auto", per neuron where that leaves clearly less error.
    """

    weights: int
    activations: int
    form: Form
    keep_first_last: int = 8
    activation_scales: ActivationScales = "per tensor"

    def __post_init__(self) -> None:
        _check_choice("weights", self.weights, WEIGHT_BITS)
        _check_choice("activations", self.activations, ACTIVATION_BITS)
        _check_choice("keep_first_last", self.keep_first_last, WEIGHT_BITS)
        _check_choice("form", self.form, get_args(Form))
        _check_choice("activation_scales", self.activation_scales, get_args(ActivationScales))
        if self.form == "qoperator" and self.activation_scales != "per tensor":
            raise UsageError(
                f"form must be 'qdq', 'qcdq' or 'packed' for activation scales "
                f"{self.activation_scales!r}, not 'qoperator'; its operators have one scale"
            )
        if self.form in ("qdq", "qoperator") and min(self.weights, self.activations) < 8:
            raise UsageError(
                f"form must be 'qcdq' or 'packed' for {self.weights}-bit weights and "
                f"{self.activations}-bit activations, not {self.form!r}; it holds 8 bits only"
            )

    @property
    def name(self) -> str:
        """A short name that says it all, such as "w4a4-edges8-packed"."""
        own = "" if self.activation_scales == "per tensor" else f"-{self.activation_scales}"
        bits = f"w{self.weights}a{self.activations}-edges{self.keep_first_last}"
        return f"{bits}-{self.form}{own.replace(' ', '-')}"

    @property
    def edge_weights(self) -> int:
        """Bits of the weights of first and last layers."""
        return max(self.weights, self.keep_first_last)

    @property
    def edge_activations(self) -> int:
        """Bits of the activations that first and last layers read."""
        return max(self.activations, self.keep_first_last)

    @property
    def opset(self) -> int:
        """The oldest ONNX opset that has the tensor types this recipe needs."""
        if self.form != "packed":
            return 17
        return 25 if self.weights == 2 else 21


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        allowed = ", ".join(repr(choice) for choice in choices)
        raise UsageError(f"{name} must be one of {allowed}, not {value!r}; choose one of them")
