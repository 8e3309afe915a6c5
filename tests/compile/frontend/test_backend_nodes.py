"""ONNX's own node tests, read from a file as a network is: operators for images and indexing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.compile.ops.test_backend import collected
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import Array
from zapdeploy.sim.functional import run

# Operators, and which of their inputs are computed at run time; the others become constants.
RUN_TIME = {
    "ArgMax": (0,),
    "ArgMin": (0,),
    "CumSum": (0,),
    "DepthToSpace": (0,),
    "GatherND": (0,),
    "LRN": (0,),
    "LpNormalization": (0,),
    "Mean": (0, 1, 2),
    "MeanVarianceNormalization": (0,),
    "Mish": (0,),
    "Mod": (0, 1),
    "OneHot": (0,),
    "Pad": (0,),
    "ReduceL1": (0,),
    "ReduceL2": (0,),
    "ReduceLogSum": (0,),
    "ReduceLogSumExp": (0,),
    "ReduceSumSquare": (0,),
    "ScatterElements": (0, 2),
    "ScatterND": (0, 2),
    "Selu": (0,),
    "Shrink": (0,),
    "Softsign": (0,),
    "Sum": (0, 1, 2),
    "ThresholdedRelu": (0,),
    "TopK": (0,),
    "Trilu": (0,),
    "Expand": (0,),
    "Gather": (0, 1),
    "GatherElements": (0, 1),
    "GroupNormalization": (0,),
    "InstanceNormalization": (0,),
    "Resize": (0,),
    "SpaceToDepth": (0,),
    "Split": (0,),
    "Tile": (0,),
}
# What is refused: other interpolations, sequences, boxes of an image, other policies.
NOT_HERE = (
    *("cubic", "crop", "antialias", "not_larger", "not_smaller", "expanded", "zero", "nan"),
    *("_add", "_max", "_min", "_multiply", "duplicate", "int8", "int16", "uint", "float16"),
    *("unsorted", "empty", "edge", "reduction"),
)
# ONNX's reference divides by a fractional output length here, ONNX Runtime by the true one.
NOT_HERE += ("test_resize_downsample_scales_linear_align_corners",)


def suitable(op: str) -> dict[str, tuple[onnx.ModelProto, list[Array], list[Array]]]:
    return {
        name: case
        for name, case in collected().items()
        if case[0].graph.node[0].op_type == op and not any(word in name for word in NOT_HERE)
    }


def with_constants(
    model: onnx.ModelProto, inputs: list[Array], kept: tuple[int, ...]
) -> onnx.ModelProto:
    """The model with all but some inputs as initializers."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    names = [value.name for value in model.graph.input]
    for index, (name, array) in enumerate(zip(names, inputs, strict=True)):
        if index not in kept:
            made.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    values = [v for index, v in enumerate(model.graph.input) if index in kept]
    del made.graph.input[:]
    made.graph.input.extend(values)
    return made


@pytest.mark.parametrize("op", RUN_TIME)
def test_node_tests(op: str, tmp_path: Path) -> None:
    cases = suitable(op)
    assert cases
    for name, (model, inputs, outputs) in cases.items():
        path = tmp_path / f"{name}.onnx"
        onnx.save(with_constants(model, inputs, RUN_TIME[op]), path)
        graph = import_model(path).graph
        feeds = {
            v.name: a.astype(np.float32) if a.dtype == np.float64 else a
            for v, a in zip(model.graph.input, map(np.asarray, inputs), strict=True)
        }
        found = run(graph, {n: feeds[n] for n in graph.inputs})
        for value, expected in zip(model.graph.output, outputs, strict=True):
            np.testing.assert_allclose(
                found[value.name], expected, rtol=1e-5, atol=2e-6, err_msg=name
            )


def quantized(model: onnx.ModelProto, inputs: list[Array]) -> onnx.ModelProto:
    """The node between codes: x and w are whole numbers, so steps of 1 hold them."""
    node, graph = model.graph.node[0], onnx.GraphProto(name="quantized")
    scale = numpy_helper.from_array(np.float32(1), "scale")
    zero = numpy_helper.from_array(np.int8(0), "zero")
    graph.initializer.extend((scale, zero))
    x = model.graph.input[0]
    graph.input.append(x)
    codes = numpy_helper.from_array(np.asarray(inputs[1], np.int8), "w_codes")
    graph.initializer.append(codes)
    for operator, read, made in (
        ("QuantizeLinear", x.name, "x_codes"),
        ("DequantizeLinear", "x_codes", "x_real"),
        ("DequantizeLinear", "w_codes", "w_real"),
    ):
        graph.node.append(helper.make_node(operator, [read, "scale", "zero"], [made], made))
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = ["x_real", "w_real"]
    graph.node.append(copy)
    graph.output.extend(model.graph.output)
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=10)


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
def test_node_tests_of_convolutions(op: str, tmp_path: Path) -> None:
    for name, (model, inputs, outputs) in suitable(op).items():
        if len(inputs) > 2 or max(np.abs(a).max() for a in inputs) > 127:
            continue
        path = tmp_path / f"{name}.onnx"
        onnx.save(quantized(model, inputs), path)
        graph = import_model(path).graph
        assert op in [node.op for node in graph.nodes]
        found = run(graph, {graph.inputs[0]: inputs[0]})
        np.testing.assert_array_equal(found[model.graph.output[0].name], outputs[0], err_msg=name)
