"""Reversible instance normalisation on the host, around a network that is quantized without it.

RevIN (Kim et al. 2022) takes each neuron's mean and spread over the context away and gives them
back to the forecast. Its statistics are new for every window, so they have no place in an integer
graph; and a chip that is given normalised windows is given eight bits instead of floating point.
An ONNX file whose RevIN was left to the host says so in its metadata, under `KEY`: whoever runs the
file finds there what to do with its inputs and outputs.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

import numpy as np

from zapdeploy.arrays import Floats
from zapdeploy.errors import ModelError
from zapdeploy.host_part.base import HostNormalisation, Notes, Workspace

KEY = "zapdeploy.revin"
VARIANCE_FLOOR = 1e-5


@dataclass(frozen=True, eq=False)
class RevIN(HostNormalisation):
    """scale, bias: float32 [neurons], the trained parameters of the normalisation.

    What is normalised already comes out of it as it went in, but for the variance floor.
    """

    def normalise_into(self, x: Floats, found: Floats, work: Workspace) -> None:
        """By each window's own mean (the offset) and deviation (the factor)."""
        np.mean(x, axis=1, keepdims=True, out=work.offset)
        np.subtract(x, work.offset, out=found)
        np.square(found, out=work.room)
        np.mean(work.room, axis=1, keepdims=True, out=work.factor)
        np.add(work.factor, np.float32(VARIANCE_FLOOR), out=work.factor)
        np.sqrt(work.factor, out=work.factor)
        np.divide(found, work.factor, out=found)
        np.multiply(found, self.scale, out=found)
        np.add(found, self.bias, out=found)

    def restore_in_place(self, y: Floats, work: Workspace) -> None:
        np.subtract(y, self.bias, out=y)
        np.divide(y, self.scale + np.float32(VARIANCE_FLOOR**2), out=y)
        np.multiply(y, work.factor, out=y)
        np.add(y, work.offset, out=y)

    def notes(self) -> dict[str, str]:
        held = {name: base64.b64encode(value.astype("<f4").tobytes()).decode("ascii")
                for name, value in (("scale", self.scale), ("bias", self.bias))}  # fmt: skip
        return {KEY: json.dumps(held)}


def noted_revin(notes: Notes, where: str) -> RevIN | None:
    """What a file's metadata says of it; None where it says nothing. Raises ModelError."""
    if KEY not in notes:
        return None
    try:
        held = json.loads(notes[KEY])
        scale, bias = (
            np.frombuffer(base64.b64decode(held[name], validate=True), "<f4").astype(np.float32)
            for name in ("scale", "bias")
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"metadata '{KEY}' must hold scale and bias, not {type(error).__name__}: {error} "
            f"({where}); export the model again"
        ) from None
    if scale.shape != bias.shape:
        raise ModelError(
            f"metadata '{KEY}' must hold as many scales as biases, not {scale.size} and "
            f"{bias.size} ({where}); export the model again"
        )
    return RevIN(scale, bias)
