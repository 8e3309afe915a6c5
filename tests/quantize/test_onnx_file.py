"""From file to file: record, determinism, errors; and ONNX Runtime's quantizer beside ours."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.quantize.networks import images, residual_cnn, run, signal_to_noise_db
from zapdeploy.errors import DataError, ModelError, UsageError
from zapdeploy.quantize import LayerBits, QuantizeRecord, quantize_onnx


def quantize(folder: Path, name: str = "q.onnx") -> QuantizeRecord:
    source = residual_cnn(folder / "net.onnx")
    return quantize_onnx(source, folder / name, weights=4, activations=4, calibration=images(4))


def test_the_record_says_what_was_done(tmp_path: Path) -> None:
    record = quantize(tmp_path)
    content = (tmp_path / "q.onnx").read_bytes()
    assert record.recipe == "w4a4-edges8-packed"
    assert (record.source, record.result) == ("net.onnx", "q.onnx")
    assert record.result_sha256 == hashlib.sha256(content).hexdigest()
    assert record.result_bytes == len(content)
    assert (record.calibration, record.calibration_samples) == ("given", 4)
    assert [name for name, _ in record.versions] == ["numpy", "onnx", "onnxruntime"]
    assert record.layers == (
        LayerBits("Conv_c1", "Conv", weights=8, inputs=8, outputs=4),
        LayerBits("Conv_c2", "Conv", weights=4, inputs=4, outputs=4),
        LayerBits("Conv_c3", "Conv", weights=4, inputs=4, outputs=4),
        LayerBits("Gemm_output", "Gemm", weights=8, inputs=8, outputs=8),
    )


def test_the_record_is_json(tmp_path: Path) -> None:
    content = json.loads(quantize(tmp_path).to_json())
    assert content["layers"][1]["weights"] == 4
    assert content["versions"]["onnx"] == onnx.__version__
    assert str(tmp_path) not in json.dumps(content)


def test_equal_arguments_give_equal_bytes(tmp_path: Path) -> None:
    first, second = quantize(tmp_path, "a.onnx"), quantize(tmp_path, "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert first.calibration_sha256 == second.calibration_sha256


def test_the_file_names_no_path_and_no_time(tmp_path: Path) -> None:
    quantize(tmp_path)
    assert str(tmp_path).encode() not in (tmp_path / "q.onnx").read_bytes()
    model = onnx.load(tmp_path / "q.onnx")
    assert model.producer_name == "zapdeploy"
    assert not model.doc_string
    assert not model.metadata_props


def test_the_source_stays_as_it_was(tmp_path: Path) -> None:
    before = residual_cnn(tmp_path / "net.onnx").read_bytes()
    quantize(tmp_path)
    assert (tmp_path / "net.onnx").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx", "q.onnx"]


def test_without_calibration_the_inputs_are_random_and_said_to_be(tmp_path: Path) -> None:
    source = residual_cnn(tmp_path / "net.onnx")
    record = quantize_onnx(source, tmp_path / "q.onnx", seed=3)
    assert (record.calibration, record.calibration_samples, record.seed) == ("random normal", 8, 3)
    assert record.form == "qdq"


def test_a_refused_calibration_leaves_no_file(tmp_path: Path) -> None:
    source = residual_cnn(tmp_path / "net.onnx")
    with pytest.raises(DataError):
        quantize_onnx(source, tmp_path / "q.onnx", calibration={"x": np.zeros(3)})
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantize(tmp_path)
    before = (tmp_path / "q.onnx").read_bytes()

    def interrupted(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        quantize_onnx(tmp_path / "net.onnx", tmp_path / "q.onnx", calibration=images(4))
    assert (tmp_path / "q.onnx").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx", "q.onnx"]


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "none" / "q.onnx"
    with pytest.raises(UsageError, match="output must be in an existing folder, not"):
        quantize_onnx(residual_cnn(tmp_path / "net.onnx"), target)


def test_a_quantized_file_is_refused(tmp_path: Path) -> None:
    quantize(tmp_path)
    with pytest.raises(ModelError, match="model must be in float, not already quantized"):
        quantize_onnx(tmp_path / "q.onnx", tmp_path / "r.onnx")


def test_int8_is_no_worse_than_onnx_runtimes_own_quantizer(tmp_path: Path) -> None:
    tools = pytest.importorskip("onnxruntime.quantization")

    class Reader(tools.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.rows = iter([{"input": row[None]} for row in images(64)["input"]])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.rows, None)

    source = residual_cnn(tmp_path / "net.onnx")
    tools.quantize_static(
        source,
        tmp_path / "theirs.onnx",
        Reader(),
        per_channel=True,
        activation_type=tools.QuantType.QUInt8,
    )
    quantize_onnx(source, tmp_path / "ours.onnx", calibration=images(64))
    x = images(64, seed=1)["input"]
    reference = run(source, x)
    ours = signal_to_noise_db(reference, run(tmp_path / "ours.onnx", x))
    theirs = signal_to_noise_db(reference, run(tmp_path / "theirs.onnx", x))
    assert ours > theirs - 0.5
