"""InstanceNormalization and GroupNormalization against ONNX Runtime, and what becomes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

from tests.compile.frontend.comparing import differences
from tests.compile.frontend.dialects import Kind, Writer
from tests.compile.frontend.messages import message
from tests.compile.frontend.onnx_files import OnnxFile, reference
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import Graph
from zapdeploy.sim.functional import run

BYTE = Kind(8, True, 2.0**-4, 3)
RNG = np.random.default_rng(5)
SUMS = ("ReduceMean", "SumOfCodes", "ReduceSum")


def reals(*shape: int) -> Any:
    return RNG.normal(1, 0.5, shape).astype(np.float32)


def read(folder: Path, file: OnnxFile) -> Graph:
    return import_model(file.save(folder / "model.onnx")).graph


def close(graph: Graph, file: OnnxFile, **inputs: Any) -> None:
    """As real numbers, to rounding."""
    expected = reference(file.model(), inputs)
    for name, array in run(graph, inputs).items():
        np.testing.assert_allclose(array, expected[name], rtol=0, atol=1e-5)


def reductions(graph: Graph) -> list[tuple[int, ...]]:
    """The shapes of what is left after each mean, or sum of codes."""
    return [graph.call(n).output.shape for n in graph.nodes if n.op in SUMS]


@pytest.mark.parametrize("shape", [(2, 3, 40), (1, 4, 6, 8), (2, 3, 4, 5, 6), (1, 2, 1)])
def test_instance_normalization(tmp_path: Path, shape: tuple[int, ...]) -> None:
    file = OnnxFile()
    parameters = [file.constant(reals(shape[1])) for _ in range(2)]
    x = file.input("x", shape)
    file.output(file.node("InstanceNormalization", [x, *parameters], epsilon=0.01))
    close(read(tmp_path, file), file, x=RNG.normal(3, 2, shape).astype(np.float32))


@pytest.mark.parametrize(("opset", "count"), [(21, 6), (18, 2)])
def test_group_normalization(tmp_path: Path, opset: int, count: int) -> None:
    file, shape = OnnxFile(opset=opset), (2, 6, 5, 7)
    parameters = [file.constant(reals(count)) for _ in range(2)]
    x = file.input("x", shape)
    file.output(file.node("GroupNormalization", [x, *parameters], num_groups=2))
    x_values = RNG.normal(3, 2, shape).astype(np.float32)
    if opset == 18:  # ONNX Runtime has the operator from 21 on: the same with each number repeated
        graph = read(tmp_path, file)
        file.opset = 21
        file.initializers[:] = [
            numpy_helper.from_array(numpy_helper.to_array(t).repeat(3), t.name)
            for t in file.initializers
        ]
        close(graph, file, x=x_values)
    else:
        close(read(tmp_path, file), file, x=x_values)


def test_parameters_that_are_computed(tmp_path: Path) -> None:
    file, shape = OnnxFile(), (2, 4, 5, 3)
    names = [file.input("x", shape), file.input("scale", (4,)), file.input("bias", (4,))]
    file.output(file.node("GroupNormalization", names, num_groups=2))
    inputs = {"x": reals(*shape), "scale": reals(4), "bias": reals(4)}
    close(read(tmp_path, file), file, **inputs)


def torch_form(shape: tuple[int, ...], groups: int) -> OnnxFile:
    """What torch's exporter makes of GroupNorm, between quantizers on every tensor that moves."""
    file = OnnxFile()
    writer = Writer(file)
    x = writer.start("x", shape, BYTE).name
    grouped = file.node("Reshape", [x, file.constant(np.asarray([0, groups, -1]))], "grouped")
    grouped = writer.activation(grouped, BYTE).name
    ones, zeros = np.ones(groups, np.float32), np.zeros(groups, np.float32)
    parameters = [file.constant(ones), file.constant(zeros)]
    normal = file.node("InstanceNormalization", [grouped, *parameters], "normal", name="norm")
    back = file.node("Reshape", [normal, file.constant(np.asarray(shape))], "back")
    column = (shape[1], *(1,) * (len(shape) - 2))
    scaled = file.node("Mul", [back, file.constant(reals(*column))], "scaled")
    shifted = file.node("Add", [scaled, file.constant(reals(*column))], "shifted")
    file.output(writer.activation(shifted, BYTE).name)
    return file


@pytest.mark.parametrize("groups", [2, 8])
def test_the_form_that_torch_writes(tmp_path: Path, groups: int) -> None:
    """The means run over dimensions that can be cut, and only they see the tensor in groups."""
    shape = (1, 8, 4, 10, 12)
    file = torch_form(shape, groups)
    graph = read(tmp_path, file)
    left = [(1, groups, 1, 1, 10, 12), (1, groups, 1, 1, 10, 1), (1, groups, 1, 1, 1, 1)]
    assert reductions(graph) == left * 2
    producers = graph.producers()
    views = [n for n in graph.nodes if n.op == "Reshape"]
    assert not [n for n in views if producers[n.inputs[0]].op == "Reshape"]
    whole = [n for n in views if graph.call(n).output.size == graph.values["x"].size]
    assert {graph.call(n).output.shape for n in whole} == {(1, groups, 8 // groups, 4, 10, 12)}
    x = RNG.normal(0, 1, shape).astype(np.float32)
    for difference in differences(graph, file.model(), {"x": x}):
        size = graph.values[difference.name].size
        allowed = (1, -(-size // 1000)) if difference.integer else (1e-5, size)
        assert difference.largest <= allowed[0]
        assert difference.share * size <= allowed[1]


def test_ones_and_zeros_cost_nothing(tmp_path: Path) -> None:
    ops = [n.op for n in read(tmp_path, torch_form((1, 4, 6, 6), 2)).nodes]
    assert ops.count("Mul") == 2  # 1 / deviation, and the file's own
    assert ops.count("Add") == 1  # the file's own


@pytest.mark.parametrize(
    ("op", "shape", "count", "attributes", "reason"),
    [
        ("InstanceNormalization", (2, 3), 3, {}, "input must have at least 3 dimensions"),
        ("InstanceNormalization", (2, 3, 4), 2, {}, "input 1 must have 3 numbers, not 2"),
        (
            "GroupNormalization",
            (2, 3, 4),
            3,
            {"num_groups": 2},
            "num_groups must divide the channels of an input [N, C, ...], not 2 of [2, 3, 4]",
        ),
    ],
)
def test_refusals(
    tmp_path: Path, op: str, shape: Any, count: int, attributes: Any, reason: str
) -> None:
    file = OnnxFile()
    x = Writer(file).start("x", shape, BYTE).name
    parameters = [file.constant(reals(count)) for _ in range(2)]
    file.output(file.node(op, [x, *parameters], **attributes))
    assert reason in message(file.save(tmp_path / "model.onnx"))
