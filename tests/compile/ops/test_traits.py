"""Every operator states what rewriting may rely on, and the statements hold."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import onnx
import pytest

import zapdeploy.compile.ops  # noqa: F401  (registers the operators)
from tests.compile.ops.cases import CASES, inputs_of
from zapdeploy.compile.graph import FLOAT32, Call
from zapdeploy.compile.ops.base import (
    NO_TRAITS,
    Operator,
    Trait,
    Unit,
    operator,
    register,
    registered,
)
from zapdeploy.compile.ops.codes import REAL, bytes_alike

OPERATORS = registered()


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.name)
def test_every_operator_states_its_traits(op: Operator) -> None:
    """In its own class or in its family's, not by a default of all operators."""
    families = type(op).__mro__[: type(op).__mro__.index(Operator)]
    assert any("traits" in vars(family) for family in families)
    assert "traits" not in vars(Operator)


def test_one_that_states_none_is_refused() -> None:
    class Silent(Operator):
        name: ClassVar[str] = "Silent"

    with pytest.raises(TypeError, match="operator Silent must state its traits"):
        register(Silent)


def test_what_moves_data_computes_nothing() -> None:
    for op in OPERATORS:
        if Trait.MOVES in op.traits:
            assert op.unit in (Unit.MOVE, Unit.VIEW), op.name
            assert {Trait.QUANTIZER_PASSES, Trait.DEQUANTIZER_PASSES} <= op.traits, op.name
        if op.unit is Unit.MATRIX:
            assert op.traits == NO_TRAITS, op.name


def test_every_operator_is_tried_by_the_laws_below() -> None:
    assert {case.node.op for case in CASES.values()} == {op.name for op in OPERATORS}


@pytest.mark.parametrize("label", CASES)
def test_what_clamps_says_its_bounds(label: str) -> None:
    """Real numbers come out clamped to the bounds, and those inside come out as they were."""
    case = CASES[label]
    op, x = operator(case.node.op), np.linspace(-9, 9, 101, dtype=np.float32)
    bounds = op.bounds(case.node)
    if len(case.inputs) != 1 or case.input(0).shape != case.output.shape or not op.is_elementwise:
        assert bounds is None
        return
    value = replace(case.input(0), element=FLOAT32, quantization=None, shape=x.shape)
    (found,) = op.evaluate(Call(case.node, (value,), (replace(value, name="y"),)), [x])
    low, high = found.min(), found.max()
    clamps = low < high and np.array_equal(found, np.clip(x, low, high))
    if bounds is not None:
        assert np.array_equal(found, np.clip(x, *bounds))
    else:
        assert not clamps or np.array_equal(found, x), op.name


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.name)
def test_what_rounds_on_bytes_does(op: Operator) -> None:
    """With 8-bit codes throughout, results differ from those on real numbers, in some last bit."""
    cases = [c for c in CASES.values() if c.node.op == op.name and bytes_alike(c)]
    differ = False
    for case in cases:
        if case.inputs[0] is None:
            continue
        real = replace(case.node, attributes={**case.node.attributes, REAL: 1})
        for seed in range(8):
            arrays = inputs_of(case, seed)
            found = op.evaluate(case, arrays)[0]
            differ |= not np.array_equal(found, op.evaluate(replace(case, node=real), arrays)[0])
    assert differ <= (Trait.ROUNDS_ON_BYTES in op.traits)
    if Trait.ZERO_POINT_FIRST in op.traits:
        assert Trait.ROUNDS_ON_BYTES in op.traits
    if Trait.ROUNDS_ON_BYTES in op.traits:
        assert cases


@pytest.mark.parametrize(
    "op", [op for op in OPERATORS if op.onnx_attributes is not None], ids=lambda op: op.name
)
def test_attributes_and_defaults_are_those_of_onnx(op: Operator) -> None:
    schema = onnx.defs.get_schema(op.name)
    stated = dict(op.onnx_attributes or {})
    assert set(stated) == set(schema.attributes)
    for name, value in stated.items():
        default = onnx.helper.get_attribute_value(schema.attributes[name].default_value)
        expected = default.decode() if isinstance(default, bytes) else default
        assert value == expected or np.float32(value) == np.float32(expected)
