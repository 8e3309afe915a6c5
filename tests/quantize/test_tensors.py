"""Packing of low-bit integers into ONNX tensors, against ONNX's own unpacking."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

from zapdeploy.quantize.tensors import packed_constant


@pytest.mark.parametrize(
    ("bits", "signed", "kind"),
    [
        (4, True, TensorProto.INT4),
        (4, False, TensorProto.UINT4),
        (2, True, TensorProto.INT2),
        (2, False, TensorProto.UINT2),
    ],
)
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (2, 3, 4)])
def test_onnx_reads_back_what_was_packed(
    bits: int, signed: bool, kind: int, shape: tuple[int, ...]
) -> None:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)
    random = np.random.default_rng(0)
    values = random.integers(low, high, shape).astype(np.int8 if signed else np.uint8)
    tensor = packed_constant("t", np.asarray(values), bits, signed=signed)
    assert tensor.data_type == kind
    assert len(tensor.raw_data) == -(-values.size * bits // 8)
    np.testing.assert_array_equal(numpy_helper.to_array(tensor).astype(np.int8), values)


def test_the_first_value_lies_in_the_lowest_bits() -> None:
    tensor = packed_constant("t", np.array([1, -2, 3], np.int8), 4, signed=True)
    assert tensor.raw_data == bytes([0xE1, 0x03])
