"""What a simulated row rests on, kept beside it: layers, heat maps, roofs, the chip's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.quantities import Estimate
from zapdeploy.typed import typed

if TYPE_CHECKING:
    from zapdeploy.hardware_targets import Figure, Target
    from zapdeploy.sim.activity import ActivityResult
    from zapdeploy.sim.results import Result

DETAILS_VERSION = 1
ASSUMED = "assumed"
_FIGURE_FIELDS = ("text", "kind", "value", "low", "high", "source", "derivation", "why", "note")


@dataclass(frozen=True)
class LayerDetail:
    """One layer of a micro-batch. `limiter`: what most of its cycles went to."""

    name: str
    op: str
    chip: int
    cut: str
    cycles: int
    bound_cycles: int
    limiter: str
    macs: int
    bits: int
    energy_j: float


@dataclass(frozen=True, eq=False)
class CoreLoad:
    """One layer in space. busy: by unit or network, share of its cycles [rows, columns]."""

    layer: str
    chip: int
    start_cycle: int
    cycles: int
    live_bytes_per_core: int
    busy: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class RoofPoint:
    """One layer under the roofline [operations/byte, operations/s, operations/s]."""

    layer: str
    operations_per_byte: float
    attained_ops_s: float
    roof_ops_s: float


@dataclass(frozen=True)
class Price:
    """A number of the chip: what it is, how it is known, and what it rests on."""

    key: str
    text: str
    kind: str
    value: float
    low: float
    high: float
    source: str
    why: str


@dataclass(frozen=True)
class LayerBits:
    """What the values of one layer do: shares of zeros and of operand bits that toggle; joules of
    its events a frame with random data, and how much less they take."""

    name: str
    macs: int
    zero_inputs_share: float
    zero_weights_share: float
    zero_products_share: float
    operand_toggles_share: float
    random_j: float
    saved_share: float


@dataclass(frozen=True, eq=False)
class ValueCosts:
    """Energy of a frame by what its bits do: by "without_gating" and "with_gating" (zeros
    withheld), then by case. events_j: of its events alone, which is where the values matter."""

    frames: int
    gates_zeros: bool
    energy: Mapping[str, Mapping[str, Estimate]]
    events_j: Mapping[str, Mapping[str, float]]
    layers: tuple[LayerBits, ...]


@dataclass(frozen=True, eq=False)
class Details:
    """The details of one row; energies per frame."""

    target: str
    clock_hz: float
    frames: int
    limiter: str
    memory_limit_bytes: int
    layers: tuple[LayerDetail, ...]
    loads: tuple[CoreLoad, ...]
    roofline: tuple[RoofPoint, ...]
    bandwidth_bytes_s: float
    peak_ops_s: Mapping[str, float]
    energy_parts: Mapping[str, Estimate]
    price_keys: Mapping[str, str]
    figures: tuple[Price, ...]
    sources: Mapping[str, str]
    values: ValueCosts | None = None

    @property
    def energy_j(self) -> float:
        """Per frame, frames back to back."""
        return sum(part.value for part in self.energy_parts.values())

    def price_kind(self, part: str) -> str:
        """How the price behind a part of the energy is known."""
        key = self.price_keys[part]
        return next(one.kind for one in self.figures if one.key == key)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Details:
        """What `details_json` made. Raises KeyError, TypeError or ValueError for another."""
        if raw["schema"] != DETAILS_VERSION:
            raise ValueError(f"schema {raw['schema']}")
        result, chip = raw["result"], raw["chip"]
        arrays = result["array"]
        figures = tuple(_price(key, one) for key, one in chip["figures"].items())
        parts = {k: typed(Estimate, one) for k, one in result["energy_parts_j"].items()}
        keys = typed(dict[str, str], chip["price_keys"])
        known = {figure.key for figure in figures}
        if unknown := [part for part in parts if keys.get(part) not in known]:
            raise ValueError(f"no price of {unknown[0]!r}")
        return cls(
            target=str(result["target"]),
            clock_hz=float(result["clock_hz"]),
            frames=int(result["micro_batch"]),
            limiter=str(result["limiter"]),
            memory_limit_bytes=int(result["memory"]["per_core_limit_bytes"]),
            layers=tuple(_layer(one) for one in result["layers"]),
            loads=tuple(_load(n, a, one) for n, a in enumerate(arrays) for one in a["layers"]),
            roofline=tuple(typed(RoofPoint, one) for a in arrays for one in a["roofline"]),
            bandwidth_bytes_s=float(chip["bandwidth_bytes_s"]),
            peak_ops_s={bits: float(peak) for bits, peak in chip["peak_ops_s"].items()},
            energy_parts=parts,
            price_keys=keys,
            figures=figures,
            sources=typed(dict[str, str], chip["sources"]),
            values=_value_costs(result["activity"]) if "activity" in result else None,
        )


def details_json(result: Result, activity: ActivityResult | None = None) -> dict[str, Any]:
    """The document to keep: the `simulate` command's, and what the report needs of the chip."""
    counted = {} if activity is None else {"activity": activity.as_json()}
    return {
        "schema": DETAILS_VERSION,
        "result": result.as_json() | counted,
        "chip": _chip_json(result.pipeline.target),
    }


def _chip_json(target: Target) -> dict[str, Any]:
    from zapdeploy.compile.mapping.prices import price_figures

    figures = dict(target.figures())
    keys = {id(figure): key for key, figure in figures.items()}
    unit, clock_hz, cores = target.core.matrix_unit, target.clock_hz, target.cores
    operations = cores * unit.ops_per_mac.value * clock_hz
    return {
        "bandwidth_bytes_s": cores * target.core.memory_port.width.value * clock_hz,
        "peak_ops_s": {str(bits): operations * unit.macs_per_cycle(bits) for bits in unit.widths},
        "price_keys": {
            # Prices of products may have been lowered for zeros.
            part: keys.get(id(one), f"energy.{part.replace('macs', 'mac')}")
            for part, one in price_figures(target).items()
            if part != "idle"
        },
        "figures": {key: _figure_json(figure) for key, figure in figures.items()},
        "sources": dict(target.sources),
    }


def _figure_json(figure: Figure) -> dict[str, Any]:
    return {name: getattr(figure, name) for name in _FIGURE_FIELDS}


def _price(key: str, raw: Mapping[str, Any]) -> Price:
    why = raw["why"] or raw["derivation"] or raw["note"] or ""
    return typed(Price, {**raw, "key": key, "source": raw["source"] or "", "why": why})


def _layer(raw: Mapping[str, Any]) -> LayerDetail:
    return typed(LayerDetail, {**raw, "cut": " x ".join(str(parts) for parts in raw["cut"])})


def _value_costs(raw: Mapping[str, Any]) -> ValueCosts:
    """The entry `activity` of the `simulate` command's document."""
    frame = {k: v for k, v in raw["energy_per_frame_j"].items() if k != "constants"}
    gated = typed(bool, raw["gates_zeros"])
    own = "with_gating" if gated else "without_gating"
    layers = [
        {
            **one["products"],
            "name": one["name"],
            "random_j": one["events_energy_j"][own]["random"],
            "saved_share": one["saved_share"],
        }
        for one in raw["layers"]
    ]
    return ValueCosts(
        frames=int(raw["sample"]["frames"]),
        gates_zeros=gated,
        energy=typed(dict[str, dict[str, Estimate]], frame),
        events_j=typed(dict[str, dict[str, float]], raw["events_energy_per_frame_j"]),
        layers=tuple(typed(LayerBits, one) for one in layers),
    )


def _load(chip: int, array: Mapping[str, Any], raw: Mapping[str, Any]) -> CoreLoad:
    shape, cycles = (array["rows"], array["columns"]), max(int(raw["cycles"]), 1)
    links = {f"{name} network": busy for name, busy in raw["link_cycles"].items()}
    named = {k.replace("_", " "): v for k, v in (raw["busy_cycles"] | links).items()}
    busy = {name: np.asarray(cells, np.float64) / cycles for name, cells in named.items()}
    if any(found.shape != shape for found in busy.values()):
        raise ValueError(f"heat map of layer {raw['layer']!r} is not {shape}")
    live = int(raw["live_bytes_per_core"])
    return CoreLoad(raw["layer"], chip, int(raw["start_cycle"]), cycles, live, busy)
