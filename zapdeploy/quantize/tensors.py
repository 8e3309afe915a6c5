"""ONNX constants of the widths that quantized files need."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

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
    per_byte = 8 // bits
    flat = np.ascontiguousarray(values).ravel().view(np.uint8) & np.uint8(2**bits - 1)
    filled = np.zeros(-(-flat.size // per_byte) * per_byte, np.uint8)
    filled[: flat.size] = flat
    lanes = filled.reshape(-1, per_byte)
    data = np.zeros(len(lanes), np.uint8)
    for lane in range(per_byte):
        data |= lanes[:, lane] << np.uint8(bits * lane)
    kind = _PACKED_TYPES[bits, signed]
    return TensorProto(name=name, data_type=kind, dims=values.shape, raw_data=data.tobytes())
