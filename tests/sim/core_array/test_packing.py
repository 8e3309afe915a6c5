"""Elements in bytes: their order, their width, and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapdeploy.compile.graph import BOOL, FLOAT32, INT32, INT64, ElementType
from zapdeploy.sim.core_array.packing import pack, planes, unpack

ELEMENTS = [
    *((ElementType(kind, bits), bits) for kind in ("int", "uint") for bits in (2, 4, 8, 16)),
    (INT32, 32),
    (INT64, 64),
    (BOOL, 8),
    (FLOAT32, 32),
    (FLOAT32, 16),
    (ElementType("float", 16), 16),
    (ElementType("float", 16), 32),
    (ElementType("float", 64), 16),
]


@pytest.mark.parametrize(("element", "bits"), ELEMENTS)
@given(count=st.integers(1, 9), seed=st.integers(0, 1000))
def test_there_and_back(element: ElementType, bits: int, count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    if element.kind == "float":
        values = random.normal(size=(3, count)).astype(element.numpy)
    elif element.kind == "bool":
        values = random.integers(0, 2, (3, count)).astype(bool)
    else:
        low, high = element.limits
        values = random.integers(low, high, (3, count), endpoint=True).astype(element.numpy)
    cells = pack(values, element, bits)
    assert cells.shape == (planes(element, bits), 3, -(-count * bits // 8))
    np.testing.assert_array_equal(unpack(cells, element, bits)[:, :count], values)


def test_narrow_integers_stand_side_by_side() -> None:
    """The first element in the lowest bits; -1 is all ones."""
    values = np.array([[1, -1, 7]], np.int8)
    assert pack(values, ElementType("int", 4), 4).tolist() == [[[0xF1, 0x07]]]
    codes = np.array([[1, 2, 3, 0, 2]], np.uint8)
    assert pack(codes, ElementType("uint", 2), 2).tolist() == [[[0b00111001, 0b10]]]


def test_half_of_a_float32_lies_beside() -> None:
    """1.0 is 0x3F800000: sign, exponent and the top of the mantissa are in the memory itself."""
    values = np.array([0x3F80_1234], np.uint32).view(np.float32)[None]
    assert pack(values, FLOAT32, 16).tolist() == [[[0x80, 0x3F]], [[0x34, 0x12]]]
