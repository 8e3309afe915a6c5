"""The commands on networks that take several chips."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Call
from tests.compile.frontend.onnx_files import OnnxFile
from zapdeploy.arrays import load_arrays, save_arrays
from zapdeploy.hardware_targets import target_text

WIDTH = 512


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Two matrix products with any batch, in QDQ form: 256 KiB of weights each."""
    file, random = OnnxFile(opset=13), np.random.default_rng(0)
    tensor = file.input("x", ["N", WIDTH])
    scale, zero = file.constant(np.float32(0.5)), file.constant(np.int8(0))
    for _ in range(2):
        q = file.node("QuantizeLinear", [tensor, scale, zero])
        d = file.node("DequantizeLinear", [q, scale, zero])
        small = file.constant(np.full(WIDTH, 0.004, np.float32))
        zeros = file.constant(np.zeros(WIDTH, np.int8))
        w = file.constant(random.integers(-100, 100, (WIDTH, WIDTH)).astype(np.int8))
        real = file.node("DequantizeLinear", [w, small, zeros], axis=1)
        tensor = file.node("MatMul", [d, real])
    q = file.node("QuantizeLinear", [tensor, scale, zero])
    file.output(file.node("DequantizeLinear", [q, scale, zero]))
    return file.save(tmp_path / "model.onnx")


def chip_with(memory: str, folder: Path) -> Path:
    text = target_text("northpole-sim")[1].replace('"768 KiB"', f'"{memory}"')
    text = text[: text.index("[totals]")] + text[text.index("[published.resnet50]") :]
    path = folder / "small.toml"
    path.write_text(text)
    return path


def test_compile_then_simulate_agree(zapdeploy: Call, model: Path) -> None:
    compiled = zapdeploy("compile", model, "--batch", 4, "--chips", 2, "--micro-batch", 1, "--json")
    assert compiled.status == 0
    found = compiled.json
    assert (found["chips"], found["batch"], found["micro_batch"]) == (2, 4, 1)
    assert len(found["stages"]) == 2
    simulated = zapdeploy(
        "simulate", model.with_suffix(".zap"), "--level", "estimate", "--json"
    ).json
    assert {key: simulated[key] for key in found} == found


def test_values_are_those_of_one_chip(zapdeploy: Call, model: Path, tmp_path: Path) -> None:
    """And --check holds, layer by layer."""
    given, made = tmp_path / "x.npz", []
    frames = np.random.default_rng(0).normal(0, 20, (4, WIDTH)).astype(np.float32)
    save_arrays(given, {"x": frames})
    for chips in (1, 2):
        program, outputs = tmp_path / f"{chips}.zap", tmp_path / f"{chips}.npz"
        compiled = zapdeploy("compile", model, "--batch", 2, "--chips", chips, "-o", program)
        assert compiled.status == 0
        called = zapdeploy(
            "simulate", program, "--inputs", given, "--outputs", outputs, "--check",
            "--reference", model,
        )  # fmt: skip
        assert called.status == 0
        assert "agrees with onnxruntime" in called.out
        made.append(load_arrays(outputs))
    (one,), (two,) = (found.values() for found in made)
    assert one.shape == (4, WIDTH)
    assert np.ptp(one) > 0
    np.testing.assert_array_equal(one, two)


def test_a_table_of_the_chips(zapdeploy: Call, model: Path) -> None:
    one = ("--batch", 1)
    assert "chip and its first layer" in zapdeploy("compile", model, *one, "--chips", 2).out
    called = zapdeploy("simulate", model.with_suffix(".zap"))
    assert "on 2 x northpole-sim" in called.out
    assert "chip and its first layer" in called.out
    assert "chip and its first layer" not in zapdeploy("compile", model, *one).out


def test_micro_batches_are_chosen_for_latency(zapdeploy: Call, open_batch: Path) -> None:
    """One layer on one chip takes whole batches, unless told otherwise."""
    assert zapdeploy("compile", open_batch, "--batch", 8, "--json").json["micro_batch"] == 8
    told = zapdeploy("compile", open_batch, "--batch", 8, "--micro-batch", 2, "--json").json
    assert (told["chips"], told["micro_batch"]) == (1, 2)


def test_latency_is_no_worse_with_chosen_micro_batches(zapdeploy: Call, model: Path) -> None:
    latency = {}
    for objective in ("throughput", "latency"):
        called = zapdeploy(
            "compile", model, "--batch", 64, "--chips", 2, "--objective", objective, "--json"
        )
        latency[objective] = called.json["latency_s"]
        if objective == "throughput":
            assert called.json["micro_batch"] == 64
    assert latency["latency"] <= latency["throughput"]


def test_two_chips_where_one_is_too_small(zapdeploy: Call, model: Path, tmp_path: Path) -> None:
    """A chip with just the memory that one of two needs."""
    large = zapdeploy("compile", model, "--batch", 1, "--chips", 2, "--json").json
    small = chip_with(f"{large['memory']['per_core_peak_bytes']} B", tmp_path)
    alone = zapdeploy("compile", model, "--batch", 1, "--target", small, "--chips", 1, "--json")
    assert alone.status == 1
    assert alone.json["unfit"]["demanded"] > alone.json["unfit"]["limit"]
    called = zapdeploy("compile", model, "--batch", 1, "--target", small, "--json")
    assert called.status == 0
    assert called.json["chips"] == 2
    assert called.json["fits"]


def test_trace_has_a_process_per_chip(zapdeploy: Call, model: Path, tmp_path: Path) -> None:
    zapdeploy("compile", model, "--batch", 4, "--chips", 2, "--micro-batch", 2)
    trace = tmp_path / "t.json"
    found = zapdeploy("simulate", model.with_suffix(".zap"), "--trace", trace, "--json").json
    events = json.loads(trace.read_text())["traceEvents"]
    names = [e["args"]["name"] for e in events if e["name"] == "process_name"]
    assert names == ["northpole-sim 1", "northpole-sim 2"]
    ends = [e["ts"] + e["dur"] for e in events if e["ph"] == "X"]
    assert max(ends) == pytest.approx(found["latency_s"] * 1e6)
    transfers = [e for e in events if e["name"].startswith("micro-batch")]
    assert len(transfers) == 2 * 2 * 2, "two micro-batches into and out of two chips"


def test_sweep(zapdeploy: Call, model: Path) -> None:
    rows = zapdeploy("sweep", model, "--batches", "4", "--chips", 2, "--json").json["rows"]
    assert [row["chips"] for row in rows] == [2]
