from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.compile.ops.cases import CASES as CALLS
from tests.compile.ops.cases import inputs_of
from zapdeploy.compile.graph import FLOAT32, Call, Node, Shape, Value
from zapdeploy.compile.ops.base import Operator, Trait, operator

CASES: list[tuple[str, dict[str, Any], Shape, Shape, tuple[int | None, ...]]] = [
    ("Transpose", {"perm": (2, 0, 1)}, (2, 3, 4), (4, 2, 3), (1, 2, 0)),
    ("Reshape", {}, (2, 3, 4), (2, 12), (0, None, None)),
    ("Reshape", {}, (2, 3, 4), (6, 4), (None, None, 1)),
    ("Reshape", {}, (2, 3), (1, 2, 1, 3), (1, 3)),
    ("Reshape", {}, (6, 4), (2, 3, 4), (None, 2)),
    ("Slice", {"steps": (1, 1)}, (4, 5), (4, 2), (0, None)),
    ("Slice", {"steps": (-1, 1)}, (4, 5), (4, 5), (None, 1)),
    ("Pad", {}, (4, 5), (4, 7), (None, None)),
    ("Take", {"axes": (1,)}, (4, 5), (4, 5), (0, None)),
    ("Concat", {"axis": -1}, (4, 5), (4, 9), (0, None)),
    ("Assemble", {"starts": (0, 0, 0, 5)}, (4, 5), (4, 9), (0, None)),
    ("Assemble", {"starts": (-1, 0, 3, 0)}, (4, 5), (4, 5), (None, 1)),
    ("Gather", {"axis": 1}, (4, 5, 6), (4, 2, 3, 6), (0, None, 3)),
    ("Gather", {"axis": 0}, (5, 6), (6,), (None, 0)),
    ("GatherElements", {"axis": 0}, (4, 5), (4, 5), (None, 1)),
    ("MaxPool", {}, (1, 3, 8, 8), (1, 3, 8, 8), (0, 1, None, None)),
]


@pytest.mark.parametrize(("op", "attributes", "before", "after", "axes"), CASES)
def test_axis_after_and_before(
    op: str, attributes: dict[str, Any], before: Shape, after: Shape, axes: tuple[int | None, ...]
) -> None:
    node, found = Node("n", op, ("x",), ("y",), attributes), operator(op)
    assert tuple(found.axis_after(node, before, after, d) for d in range(len(before))) == axes
    behind = tuple(axes.index(d) if d in axes else None for d in range(len(after)))
    assert tuple(found.axis_before(node, before, after, d) for d in range(len(after))) == behind


def _plain(value: Value | None) -> Value | None:
    """The value as real numbers; integers that stand for themselves stay: they are indices."""
    if value is None or (value.quantization is None and value.element != FLOAT32):
        return value
    return replace(value, element=FLOAT32, quantization=None, data=None)


@pytest.mark.parametrize("label", CALLS)
def test_indices_along_an_axis_go_where_the_operator_says(label: str) -> None:
    """Inputs that hold nothing but the index along an axis make an output that does, too."""
    case = CALLS[label]
    op, given = operator(case.node.op), inputs_of(case)
    before, after = case.input(0).shape, case.output.shape
    call = Call(case.node, tuple(map(_plain, case.inputs)), tuple(map(_plain, case.outputs)))
    for axis in range(len(before)):
        found = op.axis_after(case.node, before, after, axis)
        if found is None:
            continue
        arrays = [
            np.indices(value.shape, np.float32)[axis].astype(value.element.numpy)
            if value is not None and (value is call.inputs[0] or value.element == FLOAT32)
            else array
            for value, array in zip(call.inputs, given, strict=True)
        ]  # fmt: skip
        (made,) = op.evaluate(call, arrays)
        np.testing.assert_array_equal(made, np.indices(after)[found])


def test_what_moves_says_where_axes_go() -> None:
    """The base class knows of none; whatever only moves data, or hands codes on, has an answer."""
    for case in CALLS.values():
        op = operator(case.node.op)
        if {Trait.MOVES, Trait.HANDS_CODES_ON} & op.traits:
            assert type(op).axis_after is not Operator.axis_after, op.name
