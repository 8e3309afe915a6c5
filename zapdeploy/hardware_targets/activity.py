"""What values do to prices: how much of a price is paid whatever the bits, and what moves the rest.

A stated price is that of random data. Of it, the share `idle` is drawn on zeros too; the other
shares grow with what the bits do, and are 1 together on random data. A file without these numbers
takes those measured on a chip of 7 nm with memory beside compute (docs/energy.md).
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from zapdeploy.hardware_targets.figures import Figure, FigureKind, Number, Part

Shares = tuple[float, float, float, float]  # idle, then what moves with each level of the data


class Switch(Part):
    """Whether a chip does something, and how that is known."""

    on: bool = Field(alias="is")
    kind: FigureKind
    source: str | None = None
    why: str | None = None
    note: str | None = None

    @model_validator(mode="after")
    def _has_provenance(self) -> Switch:
        if self.kind == "assumed" and not self.why:
            raise ValueError("an assumed switch must say why")
        if self.kind in ("published", "reported") and not self.source:
            raise ValueError(f"a {self.kind} switch must name its source")
        return self


class WordShares(Part):
    """Of the price of a word that is moved or stored: `idle`, and the share that goes with its ones
    (1 where half the bits are); the rest goes with bits that differ from the word before."""

    idle: Number
    ones: Number

    @model_validator(mode="after")
    def _at_most_all(self) -> WordShares:
        _check(self.idle, self.ones)
        return self

    def shares(self) -> Shares:
        return self.idle.value, self.ones.value, 1 - self.idle.value - self.ones.value, 0.0


class ProductShares(Part):
    """Of the price of a multiply-accumulate: `idle`, and `clocked`, drawn by every product that is
    not withheld, whatever toggles. The rest goes with operand bits that differ from those before:
    the share `operands` of it on the way to the multipliers, the rest inside them."""

    idle: Number
    clocked: Number
    operands: Number

    @model_validator(mode="after")
    def _at_most_all(self) -> ProductShares:
        _check(self.idle, self.clocked)
        if self.operands.value > 1:
            raise ValueError(f"operands must be between 0 and 1, not {self.operands.text!r}")
        return self

    def shares(self) -> Shares:
        toggles = 1 - self.idle.value - self.clocked.value
        outside = toggles * self.operands.value
        return self.idle.value, self.clocked.value, outside, toggles - outside


def _check(idle: Figure, other: Figure) -> None:
    if idle.value + other.value > 1:
        raise ValueError(f"shares must add up to at most 1, not {idle.value + other.value:g}")


def _share(text: str, low: str, high: str, why: str) -> dict[str, Any]:
    return {"is": text, "low": low, "high": high, "kind": "assumed", "why": why}


_MEASURED = "as on another chip of this kind, at 7 nm (docs/energy.md)"
_SPLIT = "split between ones and toggles as on that chip's mesh"


def _words(idle: tuple[str, str, str], ones: tuple[str, str, str], why: str) -> WordShares:
    return WordShares.model_validate({"idle": _share(*idle, _MEASURED), "ones": _share(*ones, why)})


_PRODUCTS = ProductShares.model_validate(
    {
        "idle": _share("0.26", "0.13", "0.39", _MEASURED),
        "clocked": _share("0.165", "0.08", "0.33", _MEASURED),
        "operands": _share("0.2", "0.1", "0.3", _MEASURED),
    }
)
_VECTOR = _words(("0.46", "0.3", "0.6"), ("0", "0", "0.1"), _MEASURED)
_MEMORY = _words(("0.53", "0.35", "0.72"), ("0.27", "0.13", "0.28"), _SPLIT)
_NETWORK = _words(("0.39", "0.2", "0.6"), ("0.34", "0.17", "0.4"), _MEASURED)


class Activity(Part):
    """The shares of all prices that values move, and whether products with a zero are withheld.

    Prices that are not named here (host link, clock, instructions, static power) do not depend on
    the values.
    """

    gates_zeros: Switch | None = None
    own_mac: ProductShares | None = Field(default=None, alias="mac")
    own_vector: WordShares | None = Field(default=None, alias="vector")
    own_accumulator: WordShares | None = Field(default=None, alias="accumulator")
    own_memory: WordShares | None = Field(default=None, alias="memory")
    own_network: WordShares | None = Field(default=None, alias="network")

    @property
    def gated(self) -> bool:
        """Whether products with a zero operand are withheld; not, unless the file says so."""
        return self.gates_zeros is not None and self.gates_zeros.on

    def of_event(self, event: str) -> ProductShares | WordShares | None:
        """What moves the price of an event, by its name in the counts; None: nothing does."""
        if event.startswith("macs_"):
            return self.own_mac or _PRODUCTS
        memory, vector = self.own_memory or _MEMORY, self.own_vector or _VECTOR
        network = self.own_network or _NETWORK
        return {
            "vector_ops": vector,
            "activation_ops": vector,
            "accumulator_bytes": self.own_accumulator or _MEMORY,
            "memory_bytes": memory,
            "framebuffer_bytes": memory,
            "model_bit_hops": network,
            "activation_bit_hops": network,
            "partial_sum_bit_hops": network,
        }.get(event)
