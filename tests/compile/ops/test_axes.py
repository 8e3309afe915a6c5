from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from zapdeploy.compile.graph import Node, Shape
from zapdeploy.compile.ops.axes import axis_after, axis_before

CASES: list[tuple[str, dict[str, Any], Shape, Shape, tuple[int | None, ...]]] = [
    ("Transpose", {"perm": (2, 0, 1)}, (2, 3, 4), (4, 2, 3), (1, 2, 0)),
    ("Reshape", {}, (2, 3, 4), (2, 12), (0, None, None)),
    ("Reshape", {}, (2, 3, 4), (6, 4), (None, None, 1)),
    ("Reshape", {}, (2, 3), (1, 2, 1, 3), (1, 3)),
    ("Reshape", {}, (6, 4), (2, 3, 4), (None, 2)),
    ("Slice", {"steps": (1, 1)}, (4, 5), (4, 2), (0, None)),
    ("Slice", {"steps": (-1, 1)}, (4, 5), (4, 5), (None, 1)),
    ("Pad", {}, (4, 5), (4, 7), (0, None)),
]


@pytest.mark.parametrize(("op", "attributes", "before", "after", "axes"), CASES)
def test_axis_after_and_before(
    op: str, attributes: dict[str, Any], before: Shape, after: Shape, axes: tuple[int | None, ...]
) -> None:
    node = Node("n", op, ("x",), ("y",), attributes)
    assert tuple(axis_after(node, before, after, d) for d in range(len(before))) == axes
    for axis, found in enumerate(axes):
        if found is not None:
            assert axis_before(node, before, after, found) == axis


def test_indices_along_a_kept_axis_stay_together() -> None:
    """Numbering the entries along an axis and moving them gives the numbering along the new one."""
    before, after = (2, 3, 4), (1, 2, 3, 4)
    for axis in range(3):
        found = axis_after(Node("n", "Reshape", (), ()), before, after, axis)
        assert found is not None
        numbers = np.indices(before)[axis].reshape(after)
        np.testing.assert_array_equal(numbers, np.indices(after)[found])
