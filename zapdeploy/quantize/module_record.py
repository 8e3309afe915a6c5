"""What was done to quantize a torch module, kept beside the ONNX file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from zapdeploy.quantize.recipes import ModuleRecipe
from zapdeploy.quantize.record import bits_figure
from zapdeploy.tables import Answer, Table, table_of


@dataclass(frozen=True)
class ModuleLayer:
    """Bits of one layer's weights and of what it reads, by the name of its node in the file.

    rounding: how its weights were rounded; to the nearest code where it is too wide for the others.
    """

    name: str
    operator: str
    weights: int
    inputs: int
    rounding: str


@dataclass(frozen=True, repr=False)
class ModuleRecord(Answer):
    """The recipe of a quantized module, the data it was calibrated on, and what came of it.

    agreement: torch against ONNX Runtime, and the functional simulator where a check was given.
    accuracy: the output's signal-to-noise ratio against float, and the caller's own measures.
    training: how quantization-aware training went, None without. mixed: how bits were chosen layer
    by layer, None where they are given. Digests are SHA-256 in hex.
    """

    recipe: ModuleRecipe
    form: str
    seed: int
    source: str
    calibration_samples: int
    calibration_sha256: str
    result: str
    result_sha256: str
    result_bytes: int
    versions: tuple[tuple[str, str], ...]
    layers: tuple[ModuleLayer, ...]
    equalized: bool
    float_operators: tuple[str, ...]
    agreement: Mapping[str, Any]
    accuracy: Mapping[str, float]
    training: Mapping[str, Any] | None
    mixed: Mapping[str, Any] | None = None

    @property
    def agreed(self) -> bool:
        """Whether every comparison that was made kept to the rule."""
        return all(part["passed"] for part in self.agreement.values())

    def as_json(self) -> dict[str, Any]:
        """The record as a JSON document; numbers of a run here are "measured"."""
        content = {**asdict(self), "versions": dict(self.versions), "kind": "measured"}
        return (
            content
            if self.mixed is not None
            else {k: v for k, v in content.items() if k != "mixed"}
        )

    def __repr__(self) -> str:
        snr = self.accuracy["output_snr_db"]
        return f"<ModuleRecord of {self.result}: {self.recipe.name}, output SNR {snr:.1f} dB>"

    def records(self) -> list[dict[str, Any]]:
        """A row for each layer: its bits, and how its weights were rounded."""
        return [asdict(layer) for layer in self.layers]

    def tables(self) -> tuple[Table, ...]:
        """The layers."""
        return (table_of(f"{self.result}: {self.recipe.name}, {self.form}", self.records()),)

    def _figure(self, graph_objects: Any) -> Any:
        return bits_figure(graph_objects, self.result, self.records())

    def to_json(self) -> str:
        """The document, indented."""
        return json.dumps(self.as_json(), indent=2) + "\n"
