"""ONNX constants of the widths that quantized files need."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from zapdeploy.small_integers import pack

_PACKED_TYPES = {
    (4, True): TensorProto.INT4,
    (4, False): TensorProto.UINT4,
    (2, True): TensorProto.INT2,
    (2, False): TensorProto.UINT2,
}


def constant(name: str, values: NDArray[np.generic]) -> TensorProto:
    """An initializer of the array's own type."""
    return numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape), name)


def packed_constant(
    name: str, values: NDArray[np.integer], bits: int, *, signed: bool
) -> TensorProto:
    """An initializer of 4- or 2-bit integers, several to a byte, the first in the lowest bits."""
    data = pack(values.ravel(), bits)
    kind = _PACKED_TYPES[bits, signed]
    return TensorProto(name=name, data_type=kind, dims=values.shape, raw_data=data.tobytes())
