"""Networks in parts: a folder of ONNX files becomes what one file cut in the same places would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compile.frontend.onnx_files import OnnxFile
from zapdeploy.api import compile_model
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import Array
from zapdeploy.compile.multichip.pipeline import Link
from zapdeploy.compile.multichip.pipeline_file import load_pipeline
from zapdeploy.errors import ModelError, UsageError
from zapdeploy.hardware_targets import target_text
from zapdeploy.sim.functional import run
from zapdeploy.sim.results import summarize
from zapdeploy.sim.staged import run_pipeline

WIDTH = 64


def part(path: Path, inputs: list[str], output: str, *, width: int = WIDTH, seed: int = 0) -> None:
    """The sum of the inputs, times a matrix, in QDQ form."""
    file, random = OnnxFile(opset=13), np.random.default_rng(seed)
    scale, zero = file.constant(np.float32(0.5)), file.constant(np.int8(0))

    def quantized(tensor: str, name: str = "") -> str:
        q = file.node("QuantizeLinear", [tensor, scale, zero])
        return file.node("DequantizeLinear", [q, scale, zero], output=name)

    total = ""
    for name in inputs:
        real = quantized(file.input(name, [1, width]))
        total = real if not total else quantized(file.node("Add", [total, real]))
    weights = file.constant(random.integers(-100, 100, (width, width)).astype(np.int8))
    small = file.constant(np.full(width, 0.02, np.float32))
    zeros = file.constant(np.zeros(width, np.int8))
    w = file.node("DequantizeLinear", [weights, small, zeros], axis=1)
    file.output(quantized(file.node("MatMul", [total, w]), output))
    file.save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """a(x), b(a), c(a + b + x): a tensor that skips a part, an input that two parts read."""
    parts = tmp_path / "net"
    parts.mkdir()
    part(parts / "0.onnx", ["x"], "a", seed=1)
    part(parts / "1.onnx", ["a"], "b", seed=2)
    part(parts / "2.onnx", ["a", "b", "x"], "c", seed=3)
    return parts


def compiled(folder: Path, **options: Any) -> Any:
    return compile_model(folder, output=folder.parent / "net.zap", **options)


def test_a_part_a_chip(folder: Path) -> None:
    found = compiled(folder)
    assert (found.model, found.options.chips, len(found.stages)) == ("net", 3, 3)
    assert [v.name for v in found.inputs] == ["x"]
    assert [v.name for v in found.outputs] == ["c"]
    assert found.links == (Link("a", 0, (1, 2), WIDTH), Link("b", 1, (2,), WIDTH))
    assert [o.name for o in found.origins] == ["0.onnx", "1.onnx", "2.onnx"]
    assert summarize(found).latency_s > 0
    assert load_pipeline(folder.parent / "net.zap").digest == found.digest


def test_values_go_from_part_to_part(folder: Path) -> None:
    x = np.random.default_rng(0).normal(0, 10, (1, WIDTH)).astype(np.float32)
    (found,) = run_pipeline(compiled(folder), [{"x": x}])
    values: dict[str, Array] = {"x": x}
    for path in sorted(folder.glob("*.onnx")):
        graph = import_model(path).graph
        values |= run(graph, {name: values[name] for name in graph.inputs})
    assert found.keys() == {"c"}
    assert np.ptp(found["c"]) > 0
    np.testing.assert_array_equal(found["c"], values["c"])


def test_a_network_in_parts_is_no_single_graph(folder: Path) -> None:
    found = compiled(folder)
    with pytest.raises(UsageError, match="must be one file for this, not 3 parts"):
        _ = found.graph


def test_a_part_that_does_not_fit_leaves_no_file(folder: Path, tmp_path: Path) -> None:
    text = target_text("northpole-sim")[1].replace('"768 KiB"', '"2080 B"')
    text = text[: text.index("[totals]")] + text[text.index("[published.resnet50]") :]
    tiny = tmp_path / "tiny.toml"
    tiny.write_text(text)
    part(folder / "1.onnx", ["a"], "b", width=WIDTH)
    found = compiled(folder, target=tiny)
    assert found.violation is not None
    assert found.options.chips == 3
    assert not (tmp_path / "net.zap").exists()


def test_parts_that_do_not_go_together(folder: Path) -> None:
    part(folder / "1.onnx", ["x"], "a")
    with pytest.raises(ModelError, match="'a' must be made by one part, not by part 1 and part 2"):
        compiled(folder)
    part(folder / "1.onnx", ["c"], "b")
    with pytest.raises(ModelError, match="'c' of part 2 must be made by a part before it, not by"):
        compiled(folder)
    part(folder / "1.onnx", ["a"], "b", width=32)
    with pytest.raises(ModelError, match=r"'a' of part 2 must be float32 \[1, 64\], as it is made"):
        compiled(folder)
    assert not (folder.parent / "net.zap").exists()


def test_wrong_calls(folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match=r"must hold a network in parts, as \.onnx files"):
        compile_model(empty, output=tmp_path / "x.zap")
    with pytest.raises(UsageError, match="chips must be 3, one for each part, not 2"):
        compiled(folder, chips=2)
    with pytest.raises(UsageError, match="output must be given for a network in parts"):
        compile_model(folder)
    with pytest.raises(UsageError, match="micro_batch must be left out"):
        compiled(folder, micro_batch=4)
    with pytest.raises(UsageError, match="state must be in the metadata"):
        compiled(folder, state={"x": "c"})
