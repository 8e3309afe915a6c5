"""A dynamically quantized LSTM beside ONNX Runtime's: almost always equal to float32's last bits.

Its state is quantized at every step, so a last bit that makes another code of it is handed on: that
is why the check lets all elements differ by a step. A wrong weight differs by far more.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from zapdeploy.compile.frontend import import_model
from zapdeploy.sim.check import check

STEPS, INPUTS, HIDDEN = 12, 16, 32
X = {"x": np.random.default_rng(9).normal(size=(STEPS, 1, INPUTS)).astype(np.float32)}


def written(folder: Path, direction: str) -> Path:
    random = np.random.default_rng(0)
    directions = 2 if direction == "bidirectional" else 1
    shapes = {"w": (4 * HIDDEN, INPUTS), "r": (4 * HIDDEN, HIDDEN), "b": (8 * HIDDEN,)}
    weights = [
        numpy_helper.from_array(
            (random.normal(size=(directions, *shape)) / shape[-1] ** 0.5).astype(np.float32), name
        )
        for name, shape in shapes.items()
    ]
    out = (STEPS, directions, 1, HIDDEN)
    graph = helper.make_graph(
        [helper.make_node("LSTM", ["x", *shapes], ["y"], hidden_size=HIDDEN, direction=direction)],
        "lstm",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X["x"].shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        weights,
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / "float.onnx")
    path = folder / "quantized.onnx"
    quantize_dynamic(folder / "float.onnx", path, weight_type=QuantType.QInt8)
    return path


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_states_are_those_of_onnx_runtime(tmp_path: Path, direction: str) -> None:
    path = written(tmp_path, direction)
    found = check(import_model(path).graph, path, X)
    assert found.passed
    (lstm,) = (node for node in found.nodes if node.kernel == "DynamicQuantizeLSTM")
    assert lstm.equal == lstm.elements


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("wrong", ["w_quantized", "b"])
def test_one_wrong_number_is_found(tmp_path: Path, direction: str, wrong: str) -> None:
    """A weight as wrong as it can be, or a bias that is half a unit off."""
    path, other = written(tmp_path, direction), tmp_path / "wrong.onnx"
    model = onnx.load(path)
    (tensor,) = (t for t in model.graph.initializer if t.name == wrong)
    numbers = numpy_helper.to_array(tensor).copy()
    if wrong == "b":
        numbers[0, 5] += 0.5
    else:
        numbers[0, 0, 5] = -np.sign(numbers[0, 0, 5]) * 127
    tensor.CopyFrom(numpy_helper.from_array(numbers, wrong))
    onnx.save(model, other)
    assert not check(import_model(other).graph, path, X).passed
