"""Recipes: what may be asked for, and what follows from it."""

from __future__ import annotations

from typing import Any

import pytest

from zapdeploy.errors import UsageError
from zapdeploy.quantize import Recipe


def test_edges_never_get_fewer_bits_than_the_inside() -> None:
    recipe = Recipe(weights=4, activations=8, form="qcdq", keep_first_last=2)
    assert (recipe.edge_weights, recipe.edge_activations) == (4, 8)


@pytest.mark.parametrize(
    ("weights", "form", "opset"),
    [(8, "qdq", 17), (4, "qcdq", 17), (4, "packed", 21), (2, "packed", 25)],
)
def test_opset_is_the_oldest_with_the_needed_tensor_types(
    weights: int, form: Any, opset: int
) -> None:
    """INT4 came with opset 21, INT2 with 25 (ONNX's own table of tensor types)."""
    assert Recipe(weights, 8, form).opset == opset


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, 8, "qdq"), "weights must be one of 8, 4, 2, not 3; choose one of them"),
        ((8, 2, "qdq"), "activations must be one of 8, 4, not 2; choose one of them"),
        ((8, 8, "qdq", 6), "keep_first_last must be one of 8, 4, 2, not 6; choose one of them"),
        (
            (8, 8, "qonnx"),
            "form must be one of 'qdq', 'qoperator', 'qcdq', 'packed', not 'qonnx'; "
            "choose one of them",
        ),
        (
            (4, 8, "qdq"),
            "form must be 'qcdq' or 'packed' for 4-bit weights and 8-bit activations, "
            "not 'qdq'; it holds 8 bits only",
        ),
        (
            (8, 4, "qoperator"),
            "form must be 'qcdq' or 'packed' for 8-bit weights and 4-bit activations, "
            "not 'qoperator'; it holds 8 bits only",
        ),
    ],
)
def test_refusals(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Recipe(*arguments)
    assert str(caught.value) == message
