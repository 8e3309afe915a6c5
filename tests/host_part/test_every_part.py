"""Laws of everything that a file may leave to the host."""

from __future__ import annotations

import numpy as np
import pytest

from zapdeploy.host_part import FixedScaling, HostNormalisation, RevIN, host_normalisation

RANDOM = np.random.default_rng(0)
SCALE = RANDOM.uniform(0.5, 2, 7).astype(np.float32)
BIAS = RANDOM.normal(size=7).astype(np.float32)
PARTS = [RevIN(SCALE, BIAS), FixedScaling(SCALE, BIAS)]


def test_no_part_is_left_out() -> None:
    assert {type(part) for part in PARTS} == set(HostNormalisation.__subclasses__())


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_the_file_says_all_of_it(part: HostNormalisation) -> None:
    found = host_normalisation(part.notes(), "file.onnx")
    assert type(found) is type(part)
    assert found is not None
    np.testing.assert_array_equal(found.scale, part.scale)
    np.testing.assert_array_equal(found.bias, part.bias)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_in_place_is_the_same_to_the_bit(part: HostNormalisation) -> None:
    work, found = part.workspace(5), np.empty((1, 5, 7), np.float32)
    for _ in range(3):  # the second window finds what the first has left
        x, y = (RANDOM.normal(size=(1, n, 7)).astype(np.float32) for n in (5, 3))
        normal, offset, factor = part.normalise(x)
        restored = part.restore(y, offset, factor)
        part.normalise_into(x, found, work)
        np.testing.assert_array_equal(found, normal)
        part.restore_in_place(y, work)
        np.testing.assert_array_equal(y, restored)


def test_a_fixed_scaling_by_hand() -> None:
    """asinh((x - centre) / spread); a change of log(2) on that scale doubles what is large."""
    part = FixedScaling(np.float32([2, 4]), np.float32([1, -1]))
    x = np.float32([[[1, 3], [5, 399]]])
    normal, offset, factor = part.normalise(x)
    np.testing.assert_allclose(normal, np.arcsinh([[[0, 1], [2, 100]]]), rtol=1e-6)
    found = part.restore(np.float32([[[0, np.log(2)]]]), offset, factor)
    np.testing.assert_allclose(found, [[[5, 799]]], rtol=1e-4)
