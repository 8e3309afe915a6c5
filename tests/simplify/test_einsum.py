"""Einsum: what is written out computes what NumPy's own does, and ONNX Runtime's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import zapdeploy as zd
from zapdeploy.errors import ModelError
from zapdeploy.simplify import InputShapes, simplify

EQUATIONS = {
    "bij,jk->bik": [(2, 3, 4), (4, 5)],
    "bij,kj->bik": [(2, 3, 4), (5, 4)],
    "bqhd,bkhd->bhqk": [(2, 3, 4, 5), (2, 6, 4, 5)],
    "bhqk,bkhd->bqhd": [(2, 4, 3, 6), (2, 6, 4, 5)],
    "...ij,...jk->...ik": [(2, 2, 3, 4), (2, 2, 4, 5)],
    "ij,ij->": [(3, 4), (3, 4)],
    "ij->ji": [(3, 4)],
    "ijk->j": [(3, 4, 5)],
    "i,j->ij": [(3,), (4,)],
    "ij,jk,kl->il": [(2, 3), (3, 4), (4, 5)],
    "bi,bj->bij": [(2, 3), (2, 4)],
    "ij,j": [(3, 4), (4,)],
    "b i j , j -> i b": [(2, 3, 4), (4,)],
    "abc,cd,e->abde": [(2, 3, 4), (4, 5), (6,)],
    "ik,kj->ij": [(1, 1), (1, 1)],
}


def _model(equation: str, shapes: list[tuple[int, ...]]) -> onnx.ModelProto:
    names = [f"x{index}" for index in range(len(shapes))]
    node = helper.make_node("Einsum", names, ["y"], "product", equation=equation)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip(names, shapes, strict=True)
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "einsum", inputs, [output])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("equation", EQUATIONS)
def test_written_out_it_computes_the_same(equation: str) -> None:
    shapes = EQUATIONS[equation]
    model = _model(equation, shapes)
    made = simplify(model, InputShapes()).model
    assert "Einsum" not in {node.op_type for node in made.graph.node}
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    feeds = {f"x{index}": array for index, array in enumerate(arrays)}
    (found,) = ReferenceEvaluator(made).run(None, feeds)
    np.testing.assert_allclose(found, np.einsum(equation, *arrays), rtol=2e-5, atol=1e-5)


def test_weights_in_order_stay_as_they_are() -> None:
    """So that they can be quantized in place."""
    made = simplify(_model("bij,jk->bik", EQUATIONS["bij,jk->bik"]), InputShapes()).model
    assert [node.op_type for node in made.graph.node] == ["MatMul", "Identity"]


@pytest.mark.parametrize(
    ("equation", "shapes", "complaint"),
    [
        ("ii->i", [(3, 3)], "must take no diagonal"),
        ("ij,jk->ik", [(3, 4), (5, 6)], "'j' must have one length, not 4 and 5"),
        ("ij->ji", [(3, 4, 5)], r"must suit operands of ranks \[3\]"),
    ],
)
def test_what_cannot_be_is_one_line(
    equation: str, shapes: list[tuple[int, ...]], complaint: str
) -> None:
    with pytest.raises(ModelError, match=complaint):
        simplify(_model(equation, shapes), InputShapes())


def test_a_product_with_weights_is_quantized_for_the_matrix_unit(tmp_path: Path) -> None:
    model = _model("bij,jk->bik", [(1, 8, 16)])
    weights = np.random.default_rng(0).normal(size=(16, 32)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    model.graph.node[0].input.append("w")
    onnx.save(model, tmp_path / "float.onnx")
    zd.quantize(tmp_path / "float.onnx", tmp_path / "int8.onnx")
    (layer,) = zd.compile(tmp_path / "int8.onnx").stages[0].layers
    assert (layer.bits, layer.macs) == (8, 8 * 16 * 32)
