"""Prices of events, and the power drawn while nothing happens."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from zapdeploy.hardware_targets.activity import Activity
from zapdeploy.hardware_targets.figures import (
    Figure,
    Joules,
    JoulesPerBitHop,
    JoulesPerByte,
    Number,
    Part,
    Watts,
)


class HopPrices(Part):
    """Of each network; what is not given costs as much as on the activation network."""

    own_model: JoulesPerBitHop | None = Field(default=None, alias="model")
    activation: JoulesPerBitHop
    own_partial_sum: JoulesPerBitHop | None = Field(default=None, alias="partial_sum")
    own_instruction: JoulesPerBitHop | None = Field(default=None, alias="instruction")

    @property
    def model(self) -> Figure:
        return self.own_model or self.activation

    @property
    def partial_sum(self) -> Figure:
        return self.own_partial_sum or self.activation

    @property
    def instruction(self) -> Figure:
        return self.own_instruction or self.activation


class Energy(Part):
    """`calibration` places every price and the static power inside its bracket: 0 is the low end,
    0.5 the stated value, 1 the high end. It is one number, common to all.

    `zero_gating`: the share of the multiply-accumulates' energy that is saved where an operand is
    zero, for networks with as many zeros as usual; where the values are counted, `activity` says
    it instead.
    """

    boundary: Literal["core array", "chip", "card", "system"]
    mac_16bit: Joules | None = None
    mac_8bit: Joules | None = None
    mac_4bit: Joules | None = None
    mac_2bit: Joules | None = None
    zero_gating: Number | None = None
    vector_op: Joules
    activation_op: Joules
    accumulator_byte: JoulesPerByte
    memory_byte: JoulesPerByte
    framebuffer_byte: JoulesPerByte | None = None
    host_byte: JoulesPerByte
    core_cycle: Joules
    noc_bit_hop: HopPrices
    static_power: Watts
    idle_power: Watts
    calibration: Number
    activity: Activity = Field(default_factory=Activity)

    @model_validator(mode="after")
    def _shares(self) -> Energy:
        if not self.calibration.value <= 1:
            raise ValueError(f"calibration must be between 0 and 1, not {self.calibration.text!r}")
        if self.zero_gating and self.zero_gating.high > 1:
            raise ValueError(f"zero_gating must be between 0 and 1, not {self.zero_gating.text!r}")
        return self

    def mac(self, bits: int) -> Figure | None:
        """The price of a multiply-accumulate of this width, zeros considered."""
        figure: Figure | None = getattr(self, f"mac_{bits}bit", None)
        if figure is None or self.zero_gating is None:
            return figure
        saved = self.zero_gating
        ends = {
            "value": figure.value * (1 - saved.value),
            "low": figure.low * (1 - saved.high),
            "high": figure.high * (1 - saved.low),
        }
        return figure.model_copy(update=ends)

    def price(self, figure: Figure) -> float:
        """The calibrated value of a price: low at 0, its own value at 0.5, high at 1.

        In between it moves on a logarithmic scale (on a linear one where an end is 0).
        """
        away = 2 * self.calibration.value - 1
        end, share = (figure.high, away) if away > 0 else (figure.low, -away)
        if min(figure.value, end) <= 0:
            return figure.value + share * (end - figure.value)
        return float(figure.value ** (1 - share) * end**share)
