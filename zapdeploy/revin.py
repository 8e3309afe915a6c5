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
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import ModelError

KEY = "zapdeploy.revin"
VARIANCE_FLOOR = 1e-5
Array = NDArray[np.float32]
Notes = Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Workspace:
    """mean, deviation: float32 [batch, 1, neurons]; squares: [batch, context, neurons]."""

    mean: Array
    deviation: Array
    squares: Array


@dataclass(frozen=True, eq=False)
class HostNormalisation:
    """scale, bias: float32 [neurons], the trained parameters of the normalisation."""

    scale: Array
    bias: Array

    def normalise(self, x: Array) -> tuple[Array, Array, Array]:
        """Windows [batch, context, neurons] -> normalised, mean, deviation [batch, 1, neurons].

        What is normalised already comes out as it went in, but for the variance floor.
        """
        work, found = self.workspace(x.shape[1], len(x)), np.empty_like(x)
        self.normalise_into(x, found, work)
        return found, work.mean, work.deviation

    def restore(self, y: Array, mean: Array, deviation: Array) -> Array:
        """The inverse of `normalise`, for a forecast y [batch, horizon, neurons]."""
        restored = np.array(y)
        self.restore_in_place(restored, Workspace(mean, deviation, mean))
        return restored

    def workspace(self, context: int, batch: int = 1) -> Workspace:
        """Room for what windows [batch, context, neurons] need in between."""
        neurons = self.scale.size
        mean, deviation = np.zeros((2, batch, 1, neurons), np.float32)
        return Workspace(mean, deviation, np.zeros((batch, context, neurons), np.float32))

    def normalise_into(self, x: Array, found: Array, work: Workspace) -> None:
        """As `normalise`, into arrays that are there: no memory is taken for each window."""
        mean, deviation, squares = work.mean, work.deviation, work.squares
        np.mean(x, axis=1, keepdims=True, out=mean)
        np.subtract(x, mean, out=found)
        np.square(found, out=squares)
        np.mean(squares, axis=1, keepdims=True, out=deviation)
        np.add(deviation, np.float32(VARIANCE_FLOOR), out=deviation)
        np.sqrt(deviation, out=deviation)
        np.divide(found, deviation, out=found)
        np.multiply(found, self.scale, out=found)
        np.add(found, self.bias, out=found)

    def restore_in_place(self, y: Array, work: Workspace) -> None:
        """As `restore`, of the windows that `work` was last used for."""
        np.subtract(y, self.bias, out=y)
        np.divide(y, self.scale + np.float32(VARIANCE_FLOOR**2), out=y)
        np.multiply(y, work.deviation, out=y)
        np.add(y, work.mean, out=y)

    def notes(self) -> dict[str, str]:
        """What an ONNX file's metadata says of it."""
        held = {name: base64.b64encode(value.astype("<f4").tobytes()).decode("ascii")
                for name, value in (("scale", self.scale), ("bias", self.bias))}  # fmt: skip
        return {KEY: json.dumps(held)}


def noted_revin(notes: Notes, where: str) -> HostNormalisation | None:
    """The reversible normalisation that a file's metadata leaves to the host, or None.

    Raises ModelError when the entry is damaged.
    """
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
    return HostNormalisation(scale, bias)


def normalised_inputs(
    arrays: Mapping[str, Array], normalisation: HostNormalisation | None
) -> dict[str, Array]:
    """The inputs as the network is given them: traces [count, context, neurons] normalised."""
    if normalisation is None:
        return dict(arrays)
    neurons = normalisation.scale.size
    return {
        name: normalisation.normalise(np.asarray(values, np.float32))[0]
        if values.ndim == 3 and values.shape[2] == neurons
        else values
        for name, values in arrays.items()
    }
