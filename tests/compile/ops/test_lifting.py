"""Calls over all cores at once, of operators whose attributes name axes, give each core its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.compile.ops.cases import CASES, inputs_of
from zapdeploy.compile.graph import Array, Call, Value
from zapdeploy.compile.ops.base import operator

CORES = 3
NAMING_AXES = (
    "Assemble", "Concat", "Gather", "GatherElements", "LayerNormalization", "LogSoftmax", "Pad",
    "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "Resize", "RMSNormalization", "Slice",
    "Softmax", "SumOfCodes", "Take", "Tile", "Transpose",
)  # fmt: skip


def lifted(c: Call) -> Call:
    """The call over tensors with a further first axis; per-tensor scales stay as they are."""

    def over(value: Value) -> Value:
        return replace(value, shape=(CORES, *value.shape), data=None)

    node = replace(c.node, attributes=operator(c.node.op).over_cores(c))
    inputs = tuple(None if v is None else over(v) for v in c.inputs)
    return Call(node, inputs, tuple(map(over, c.outputs)))


@pytest.mark.parametrize("label", [k for k, c in CASES.items() if c.node.op in NAMING_AXES])
def test_all_cores_at_once(label: str) -> None:
    c = CASES[label]
    op = operator(c.node.op)
    each = [inputs_of(replace(c, inputs=_variables(c)), seed) for seed in range(CORES)]
    stacked: list[Array | None] = [np.stack(column) for column in zip(*each, strict=True)]
    together = op.evaluate(lifted(c), stacked)[0]
    for core, arrays in enumerate(each):
        np.testing.assert_array_equal(together[core], op.evaluate(c, arrays)[0])


def _variables(c: Call) -> tuple[Value | None, ...]:
    """The inputs, constants too, as values that are computed."""
    return tuple(None if v is None else replace(v, data=None) for v in c.inputs)
