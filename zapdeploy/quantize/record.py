"""What was done to make a quantized file, so that it can be made again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from zapdeploy.quantize.fidelity import Fidelity
from zapdeploy.tables import Answer, Table, table_of


@dataclass(frozen=True)
class LayerBits:
    """Bits of one matrix layer's weights, of what it reads and of what it hands on."""

    name: str
    operator: str
    weights: int
    inputs: int
    outputs: int


@dataclass(frozen=True)
class Aim:
    """Signal to noise in dB: what was aimed at, and what was found.

    The aim is less than was asked for where 8 bits reach no more. It was found on inputs that
    served nothing but the choice.
    """

    limit_db: float
    found_db: float


@dataclass(frozen=True)
class BitsChosen:
    """What was chosen by the noise that it leaves, before what saturates the outputs.

    asked_db: the signal to noise that was asked for, None where bits were given. equalized: whether
    layers were; whole_range: whether activations of 8 bits have the whole range that was seen.
    """

    asked_db: float | None
    aim: Aim | None
    equalized: bool
    whole_range: bool


def bits_figure(graph_objects: Any, title: str, layers: list[dict[str, Any]]) -> Any:
    """Bits of weights and of inputs, layer by layer."""
    names = [layer["name"] for layer in layers]
    bars = [
        graph_objects.Bar(x=names, y=[layer[part] for layer in layers], name=part)
        for part in ("weights", "inputs")
    ]
    figure = graph_objects.Figure(bars)
    figure.update_layout(title=title, yaxis_title="bits", template="plotly_white")
    return figure


@dataclass(frozen=True, repr=False)
class QuantizeRecord(Answer):
    """The recipe of a quantized file, the data it was calibrated on, and what came of it.

    calibration: "given" for the caller's inputs, "random normal" where there were none (then
    accuracy says nothing). calibration_samples: those that scales were chosen on. fidelity: the
    outputs against the float network's. choice: what was chosen by measured noise,
    None without inputs to measure it on. float_layers: products and convolutions that stay in
    floating point. refusal: why `zapdeploy compile` would refuse the file; empty where it would
    not, or was not asked. Digests are SHA-256 in hex. versions: (package, version) pairs.
    notes: what else was changed in the network that a person may want to know. host: nodes that the
    host runs, before or after the network that was quantized; fidelity is then of the latter.
    """

    recipe: str
    weights: int
    activations: int
    keep_first_last: int
    form: str
    seed: int
    calibration: str
    calibration_samples: int
    calibration_sha256: str
    source: str
    source_sha256: str
    result: str
    result_sha256: str
    result_bytes: int
    versions: tuple[tuple[str, str], ...]
    layers: tuple[LayerBits, ...]
    fidelity: Fidelity
    choice: BitsChosen | None = None
    float_layers: tuple[str, ...] = ()
    refusal: str = ""
    notes: tuple[str, ...] = ()
    host: tuple[str, ...] = ()

    def __repr__(self) -> str:
        size = f"{self.result_bytes / 1e6:.1f} MB"
        return f"<QuantizeRecord of {self.result}: {self.recipe}, {size}>"

    def records(self) -> list[dict[str, Any]]:
        """A row for each matrix layer: its bits."""
        return [asdict(layer) for layer in self.layers]

    def tables(self) -> tuple[Table, ...]:
        """The layers."""
        return (table_of(f"{self.result}: {self.recipe}", self.records()),)

    def _figure(self, graph_objects: Any) -> Any:
        return bits_figure(graph_objects, self.result, self.records())

    def as_json(self) -> dict[str, Any]:
        """The record as a JSON document."""
        found = {**asdict(self), "versions": dict(self.versions)}
        return found | {"fidelity": self.fidelity.as_json()}

    def to_json(self) -> str:
        """The document, indented."""
        return json.dumps(self.as_json(), indent=2) + "\n"
