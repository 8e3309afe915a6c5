"""Small integers in bytes: by hand, and back again whatever they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from zapdeploy.small_integers import pack, packed_bytes, unpack


def test_by_hand() -> None:
    """-1, 2 is 1111, 0010: 0x2f with the first in the lowest bits. 1, 2, 3, 0 is 0b00111001."""
    assert pack(np.array([-1, 2, -3], np.int8), 4).tolist() == [0x2F, 0x0D]
    assert pack(np.array([1, 2, 3, 0], np.uint8), 2).tolist() == [0b00111001]
    assert unpack(np.array([0x2F], np.uint8), 4, signed=True).tolist() == [-1, 2]
    assert unpack(np.array([0x2F], np.uint8), 4, signed=False).tolist() == [15, 2]
    assert packed_bytes(7, 2) == 2
    assert pack(np.array([-1, 2, -3], np.int8), 3).tolist() == [0b010111, 0b101]  # two to a byte
    assert pack(np.array([-1, 2], np.int8), 5).tolist() == [0b11111, 0b00010]


@given(st.data(), st.integers(1, 7), st.booleans())
def test_what_goes_in_comes_out(data: st.DataObject, bits: int, signed: bool) -> None:
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=9))
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    kind = np.int8 if signed else np.uint8
    values = data.draw(hnp.arrays(kind, shape, elements=st.integers(low, high)))
    packed = pack(values, bits)
    assert packed.shape == (*shape[:-1], packed_bytes(shape[-1], bits))
    found = unpack(packed, bits, signed=signed, count=shape[-1])
    assert found.dtype == kind
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("bits", [2, 4])
def test_more_than_a_block(bits: int) -> None:
    values = np.random.default_rng(0).integers(0, 1 << bits, 3_000_001).astype(np.uint8)
    found = unpack(pack(values, bits), bits, signed=False, count=values.size)
    np.testing.assert_array_equal(found, values)


def test_views_are_packed_as_they_look() -> None:
    values = np.arange(16, dtype=np.uint8).reshape(4, 4)
    np.testing.assert_array_equal(pack(values.T, 4), pack(values.T.copy(), 4))
