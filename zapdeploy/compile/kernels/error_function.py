"""The error function of many numbers: NumPy has none."""

from __future__ import annotations

import math

import numpy as np

from zapdeploy.arrays import Floats
from zapdeploy.compile.kernels.jit import compiled


def erf(x: Floats) -> Floats:
    """The error function of each element: computed in float64 as C's own, then rounded once."""
    flat = np.ascontiguousarray(x, np.float32).ravel()
    out = np.empty_like(flat)
    _erf(flat, out)
    return out.reshape(x.shape)


@compiled
def _erf(x: Floats, out: Floats) -> None:
    for i in range(x.size):
        out[i] = math.erf(np.float64(x[i]))
