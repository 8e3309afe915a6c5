"""Networks as ONNX files: the same function, the same bytes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import shape_inference

torch = pytest.importorskip("torch")

from zapdeploy.errors import UsageError  # noqa: E402
from zapdeploy.forecasters import (  # noqa: E402
    ModelInfo,
    build_model,
    export,
    export_model,
    list_models,
    sample_inputs,
)
from zapdeploy.forecasters.build import build_forecaster  # noqa: E402
from zapdeploy.forecasters.folder import ForecasterSpec, save_forecaster  # noqa: E402
from zapdeploy.host_part import host_normalisation  # noqa: E402
from zapdeploy.onnxruntime_sessions import Purpose, open_session  # noqa: E402


def run(path: Path, inputs: np.ndarray) -> np.ndarray:
    session = open_session(path, Purpose.INTEGER)
    return np.concatenate([session.run(None, {"input": row[None]})[0] for row in inputs])


def operators(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


def matrix_macs(path: Path) -> int:
    """Multiply-accumulates of Conv and Gemm: outputs times weights per output channel."""
    model = shape_inference.infer_shapes(onnx.load(path))
    weights = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*model.graph.value_info, *model.graph.output)
    }
    return sum(
        math.prod(shapes[node.output[0]]) * math.prod(weights[node.input[1]][1:])
        for node in model.graph.node
        if node.op_type in ("Conv", "Gemm")
    )


FORECASTERS = [info for info in list_models() if info.context is not None]


@pytest.mark.parametrize("info", FORECASTERS, ids=lambda info: info.name)
def test_a_forecaster_computes_what_torch_computes(tmp_path: Path, info: ModelInfo) -> None:
    sizes: dict[str, Any] = {"neurons": 60} | ({"width": 16} if info.width else {})
    path = export_model(info.name, tmp_path / "m.onnx", batch=3, revin=True, **sizes)
    inputs = sample_inputs(info.name, 3, neurons=60)
    with torch.no_grad():
        network = build_model(info.name, **sizes)
        expected = network(*map(torch.from_numpy, inputs.values())).numpy()
    session = open_session(path, Purpose.INTEGER)
    np.testing.assert_allclose(session.run(None, inputs)[0], expected, atol=1e-4)


@pytest.mark.parametrize("info", FORECASTERS, ids=lambda info: info.name)
def test_no_layer_is_copied_for_every_neuron(tmp_path: Path, info: ModelInfo) -> None:
    """Twice the neurons: no more layers, and weights only where a neuron has its own."""
    width: dict[str, Any] = {"width": 16} if info.width else {}
    nodes, matrices = [], []
    for neurons in (30, 60):
        path = export_model(info.name, tmp_path / "m.onnx", neurons=neurons, **width)
        graph = onnx.load(path).graph
        nodes.append([node.op_type for node in graph.node])
        matrices.append(sum(math.prod(t.dims) for t in graph.initializer if len(t.dims) > 1))
    assert nodes[0] == nodes[1]
    per_neuron = {"tsmixer": 2 * 2 * 16, "residual-mlp": 16 + 8}.get(info.family, 0)
    assert matrices[1] - matrices[0] == 30 * per_neuron


def test_a_forecaster_holds_its_shared_layers_once(tmp_path: Path) -> None:
    path = export_model("tsmixer-c4", tmp_path / "m.onnx", neurons=60, width=16)
    model = onnx.load(path)
    parameters = sum(math.prod(tensor.dims) for tensor in model.graph.initializer)
    assert parameters == 2 * (20 + 60 * 16 + 16 + 16 * 60 + 60) + 160
    assert operators(path) == {"Conv", "Relu", "Add", "Constant", "Reshape", "Gemm"}


def test_the_batch_of_a_forecaster_can_be_changed_afterwards(tmp_path: Path) -> None:
    path = export_model("tsmixer-c4", tmp_path / "one.onnx", neurons=60, width=16)
    inputs = sample_inputs("tsmixer-c4", 3, neurons=60)["input"]
    expected = run(path, inputs)
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 3
    onnx.save(model, tmp_path / "three.onnx")
    session = open_session(tmp_path / "three.onnx", Purpose.INTEGER)
    found = session.run(None, {"input": inputs})[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["time-mix-c256", "tsmixer-c256"])
def test_reversible_normalisation_is_left_to_the_host(tmp_path: Path, name: str) -> None:
    """The file with the host's part before and after it is the whole network."""
    width: dict[str, Any] = {"width": 16} if name == "tsmixer-c256" else {}
    spec = ForecasterSpec(name, 60, **width)
    network = build_forecaster(spec, seed=1)
    with torch.no_grad():
        network.norm.scale.uniform_(0.5, 2)
        network.norm.bias.uniform_(-1, 1)
    save_forecaster(tmp_path / "trained", spec, network, {})
    whole, chip = (
        export_model(name, tmp_path / file, revin=revin, checkpoint=tmp_path / "trained")
        for file, revin in (("whole.onnx", True), ("chip.onnx", False))
    )
    assert "ReduceMean" in operators(whole)
    assert operators(chip) <= {"Conv", "Relu", "Add", "Constant", "Reshape", "Gemm"}
    onnx.checker.check_model(onnx.load(chip), full_check=True)
    normalisation = host_normalisation(export.read_notes(chip), "chip.onnx")
    assert normalisation is not None
    assert host_normalisation(export.read_notes(whole), "whole.onnx") is None
    x = sample_inputs(name, 2, neurons=60)["input"]
    normal, mean, deviation = normalisation.normalise(x)
    found = normalisation.restore(run(chip, normal), mean, deviation)
    np.testing.assert_allclose(found, run(whole, x), atol=1e-5)


def test_equal_arguments_give_equal_bytes_without_paths(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        export_model("tsmixer-c256", tmp_path / name, neurons=60, width=16)
    content = (tmp_path / "a.onnx").read_bytes()
    assert content == (tmp_path / "b.onnx").read_bytes()
    assert str(tmp_path).encode() not in content
    assert b"site-packages" not in content
    assert not any(node.doc_string for node in onnx.load(tmp_path / "a.onnx").graph.node)


def test_exporting_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    export_model("tsmixer-c4", tmp_path / "m.onnx", neurons=60, width=16)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("batch", [1, 2])
def test_shapes_are_static(tmp_path: Path, batch: int) -> None:
    path = export_model("tsmixer-c4", tmp_path / "m.onnx", neurons=60, width=16, batch=batch)
    graph = onnx.load(path).graph
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes == {"input": [batch, 4, 60], "output": [batch, 32, 60]}


def test_an_interrupted_export_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "_write_onnx", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_model("tsmixer-c4", tmp_path / "m.onnx", neurons=60, width=16)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("tsmixer-c4", {"batch": 0}, "batch must be at least 1, not 0; give a batch size"),
        (
            "tsmixer-c4",
            {"neurons": 0},
            "neurons must be at least 1, not 0 (tsmixer-c4); give a size",
        ),
        ("tsmixer-c4", {"width": -1}, "width must be at least 1, not -1 (tsmixer-c4); give a size"),
        (
            "resnet50",
            {"width": 64},
            "neurons and width must be left out for resnet50, not set; they size a forecaster",
        ),
    ],
)
def test_refusals(tmp_path: Path, name: str, options: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        export_model(
            name, tmp_path / "m.onnx", **({"neurons": 60} if name[0] == "t" else {}) | options
        )
    assert str(caught.value) == message


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="path must be in an existing folder, not"):
        export_model("tsmixer-c4", tmp_path / "none" / "m.onnx", neurons=60, width=16)


def test_too_many_weights_for_one_file_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "FILE_LIMIT_BYTES", 10_000)
    with pytest.raises(UsageError) as caught:
        export_model("tsmixer-c4", tmp_path / "m.onnx", neurons=60, width=40)
    assert "weights must be under 0.0 GB in one ONNX file, not 0.0 GB (tsmixer-c4)" in str(
        caught.value
    )


def test_resnet50_is_the_published_network(tmp_path: Path) -> None:
    """4.089 GMAC (torchvision's documentation) and the weights of 54 layers after folding."""
    pytest.importorskip("PIL")
    path = export_model("resnet50", tmp_path / "resnet50.onnx")
    assert matrix_macs(path) == 4_089_184_256
    assert operators(path) == {
        "Conv", "Relu", "MaxPool", "Add", "GlobalAveragePool", "Flatten", "Gemm",
    }  # fmt: skip
    inputs = sample_inputs("resnet50", 2, seed=1)["input"]
    with torch.no_grad():
        expected = build_model("resnet50")(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(run(path, inputs), expected, atol=1e-4)
