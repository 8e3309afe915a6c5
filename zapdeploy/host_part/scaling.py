"""Fixed scaling on the host, around a network that sees every neuron alike.

The network is given asinh((x - centre) / spread) of every neuron, and says by how much that will
have changed since the last frame; whoever runs it adds the last frame's and takes the inverse.
Centre and spread are robust (Huber 1981): the median, and a quarter of the range between the 1st
and the 99th percentile, so that a few large transients move neither. The inverse hyperbolic sine is
linear up to about a spread and logarithmic beyond (Burbidge et al. 1988): dF/F with transients of
forty times its usual size then fits eight bits, with a relative error where it is large. The
forecast that errs least in the absolute, the median, is the same on either scale. An ONNX file says
so in its metadata, under `KEY`.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

import numpy as np

from zapdeploy.arrays import Floats
from zapdeploy.errors import ModelError
from zapdeploy.host_part.base import HostNormalisation, Notes, Workspace

KEY = "zapdeploy.scaling"
LIMIT = 6.0  # of a forecast on the network's scale: 200 spreads


@dataclass(frozen=True, eq=False)
class FixedScaling(HostNormalisation):
    """scale, bias: float32 [neurons], each neuron's spread and centre in the data's unit."""

    def normalise_into(self, x: Floats, found: Floats, work: Workspace) -> None:
        """Offset: the last frame, to which the network's answer is a change; factor: the spread."""
        np.subtract(x, self.bias, out=found)
        np.divide(found, self.scale, out=found)
        np.arcsinh(found, out=found)
        np.copyto(work.offset, found[:, -1:])
        np.copyto(work.factor, self.scale)

    def restore_in_place(self, y: Floats, work: Workspace) -> None:
        np.add(y, work.offset, out=y)
        np.clip(y, -LIMIT, LIMIT, out=y)
        np.sinh(y, out=y)
        np.multiply(y, work.factor, out=y)
        np.add(y, self.bias, out=y)

    def notes(self) -> dict[str, str]:
        held = {name: base64.b64encode(value.astype("<f4").tobytes()).decode("ascii")
                for name, value in (("scale", self.scale), ("centre", self.bias))}  # fmt: skip
        return {KEY: json.dumps(held)}


def noted_scaling(notes: Notes, where: str) -> FixedScaling | None:
    """What a file's metadata says of it; None where it says nothing. Raises ModelError."""
    if KEY not in notes:
        return None
    try:
        held = json.loads(notes[KEY])
        scale, centre = (
            np.frombuffer(base64.b64decode(held[name], validate=True), "<f4").astype(np.float32)
            for name in ("scale", "centre")
        )
        if scale.shape != centre.shape or not (scale > 0).all():
            raise ValueError(f"{scale.size} scales above 0 and {centre.size} centres")
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"metadata '{KEY}' must hold scale and centre, not {type(error).__name__}: {error} "
            f"({where}); export the model again"
        ) from None
    return FixedScaling(scale, centre)
