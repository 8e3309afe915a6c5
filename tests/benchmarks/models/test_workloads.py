"""Workloads: made once, made again when they must be, and refused where they make no sense."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.examples import model_file, write_network
from zapdeploy.benchmarks import ModelSize
from zapdeploy.benchmarks.models.model_files import (
    calibration_count,
    float_file,
    obtain,
    quantized_file,
    sample_frames,
)
from zapdeploy.benchmarks.models.workloads import file_digest, find_workload
from zapdeploy.errors import UsageError

SMALL = ModelSize(neurons=60, width=8)


def test_a_file_is_made_once_per_recipe_and_again_when_damaged(tmp_path: Path) -> None:
    calls: list[Path] = []
    path = tmp_path / "net.onnx"

    def make(target: Path) -> None:
        calls.append(target)
        target.write_bytes(b"content")

    first = obtain(path, {"bits": 8}, make)
    assert obtain(path, {"bits": 8}, make) == first == file_digest(path)
    assert len(calls) == 1
    obtain(path, {"bits": 4}, make)
    assert len(calls) == 2
    path.write_bytes(b"cont")
    obtain(path, {"bits": 4}, make)
    assert len(calls) == 3
    path.with_suffix(".recipe.json").write_text("{half")
    obtain(path, {"bits": 4}, make)
    assert len(calls) == 4


def test_names_and_sizes_have_identities_of_their_own(tmp_path: Path) -> None:
    path = write_network(tmp_path / "net.onnx")
    given = find_workload(str(path), SMALL)
    small, full = find_workload("tsmixer-c4", SMALL), find_workload("tsmixer-c4", ModelSize())
    assert len({given.identity, small.identity, full.identity}) == 3
    assert given.identity == file_digest(path)
    assert small.is_forecaster
    assert not find_workload("resnet50", ModelSize()).is_forecaster


def test_unknown_names_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"model must be one of resnet50, .*, not 'resnet51'"):
        find_workload("resnet51", SMALL)
    with pytest.raises(UsageError, match=r"model must be a file, not missing"):
        find_workload(str(tmp_path / "none.onnx"), SMALL)


def test_network_by_name_is_built_at_its_size_and_quantized(tmp_path: Path) -> None:
    workload = find_workload("tsmixer-c4", SMALL)
    floating = float_file(workload, tmp_path)
    assert floating.path.name == "tsmixer-c4-n60-w8-s0-fp32.onnx"
    assert floating.facts.input_elements == 4 * 60
    assert "random weights" in floating.note
    four = quantized_file(workload, "int4", "packed", tmp_path)
    assert four.facts.activations == "unsigned"
    before = four.path.stat().st_mtime_ns
    assert quantized_file(workload, "int4", "packed", tmp_path) == four
    assert four.path.stat().st_mtime_ns == before
    frames = sample_frames(workload, floating, 20)
    assert frames is not None
    assert frames["input"].shape == (20, 4, 60)
    np.testing.assert_array_equal(frames["input"][0], frames["input"][8])


def test_a_users_float_file_is_quantized_and_says_so(tmp_path: Path) -> None:
    workload = find_workload(str(write_network(tmp_path / "net.onnx")), SMALL)
    eight = quantized_file(workload, "int8", "qdq", tmp_path)
    assert eight.facts.precision == "int8"
    assert eight.note == "calibrated on random inputs: speed and energy only"
    assert sample_frames(workload, eight, 4) is None


def test_a_users_quantized_file_is_taken_at_its_own_precision_alone(tmp_path: Path) -> None:
    source = find_workload(str(write_network(tmp_path / "net.onnx")), SMALL)
    path = quantized_file(source, "int8", "qdq", tmp_path).path
    workload = find_workload(str(path), SMALL)
    assert quantized_file(workload, "int8", "packed", tmp_path).form == "given"
    with pytest.raises(UsageError, match=r"must be its own, int8, not int4"):
        quantized_file(workload, "int4", "packed", tmp_path)
    with pytest.raises(UsageError, match=r"must be its own, int8, not fp32"):
        float_file(workload, tmp_path)


def test_large_inputs_are_drawn_less_often() -> None:
    """256 x 71,721 floats are 73 MB: one fits into 128 MiB; eight of 60 KB do."""
    assert calibration_count(model_file(input_elements=256 * 71_721).facts) == 1
    assert calibration_count(model_file(input_elements=15_000).facts) == 8


def test_missing_torch_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n == "torch" or n.startswith("torch.")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [n for n in sys.modules if n.startswith("zapdeploy.forecasters.tsmixer")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    workload = find_workload("tsmixer-c4", SMALL)
    with pytest.raises(UsageError, match=r"torch must be installed to build a network by name"):
        float_file(workload, tmp_path)
