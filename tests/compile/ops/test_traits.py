"""Every operator states what rewriting may rely on, and the statements hold."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx
import pytest

import zapdeploy.compile.ops  # noqa: F401  (registers the operators)
from zapdeploy.compile.ops.base import (
    NO_TRAITS,
    Operator,
    Trait,
    Unit,
    register,
    registered,
)

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
