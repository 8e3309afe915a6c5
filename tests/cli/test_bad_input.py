"""Bad input: one clear line, exit status 2, nothing half written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.cli.conftest import Call, Called, one_layer
from tests.compile.frontend.onnx_files import OnnxFile
from zapdeploy.arrays import save_arrays
from zapdeploy.hardware_targets import target_text


def complaint(called: Called) -> str:
    """The one line on standard error."""
    assert called.status == 2
    assert called.out == ""
    lines = called.err.splitlines()
    assert len(lines) == 1, called.err
    assert lines[0].startswith("zapdeploy: ")
    return lines[0]


def assert_nothing_written(folder: Path, *kept: Path) -> None:
    assert sorted(folder.iterdir()) == sorted(kept)


def test_truncated_file(zapdeploy: Call, model: Path, tmp_path: Path) -> None:
    model.write_bytes(model.read_bytes()[:-100])
    text = complaint(zapdeploy("compile", model))
    assert "model.onnx" in text
    assert_nothing_written(tmp_path, model)


def _change(model: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    proto = onnx.load(model)
    change(proto)
    model.write_bytes(proto.SerializeToString())


def test_cyclic_graph(zapdeploy: Call, model: Path, tmp_path: Path) -> None:
    def tie(proto: onnx.ModelProto) -> None:
        first = next(n for n in proto.graph.node if n.op_type in ("QuantizeLinear", "Gemm"))
        first.input[0] = proto.graph.node[-1].output[0]

    _change(model, tie)
    assert "cycl" in complaint(zapdeploy("compile", model))
    assert_nothing_written(tmp_path, model)


def test_missing_initializer(zapdeploy: Call, model: Path, tmp_path: Path) -> None:
    names: list[str] = []

    def drop(proto: onnx.ModelProto) -> None:
        names.append(proto.graph.initializer[0].name)
        del proto.graph.initializer[0]

    _change(model, drop)
    assert names[0] in complaint(zapdeploy("compile", model))
    assert_nothing_written(tmp_path, model)


def test_negative_scale(zapdeploy: Call, model: Path, tmp_path: Path) -> None:
    def negate(proto: onnx.ModelProto) -> None:
        node = next(n for n in proto.graph.node if n.op_type == "QuantizeLinear")
        scale = next(t for t in proto.graph.initializer if t.name == node.input[1])
        values = -onnx.numpy_helper.to_array(scale)
        scale.CopyFrom(onnx.numpy_helper.from_array(values, scale.name))

    _change(model, negate)
    assert "scale" in complaint(zapdeploy("compile", model))
    assert_nothing_written(tmp_path, model)


def test_zero_size_dimension(zapdeploy: Call, tmp_path: Path) -> None:
    model = one_layer(tmp_path / "zero.onnx", [1, 0])
    assert "has none" in complaint(zapdeploy("compile", model))
    assert_nothing_written(tmp_path, model)


def test_an_open_batch_is_one(zapdeploy: Call, tmp_path: Path) -> None:
    model = one_layer(tmp_path / "dynamic.onnx", ["N", 4])
    assert zapdeploy("compile", model, "--json").json["batch"] == 1
    assert zapdeploy("compile", model, "--batch", 3, "--json").json["batch"] == 3


def test_an_open_length_needs_a_shape(zapdeploy: Call, tmp_path: Path) -> None:
    model = one_layer(tmp_path / "dynamic.onnx", ["N", "length", 4])
    text = complaint(zapdeploy("compile", model))
    assert "dimension 1 (length) of 'x' has none" in text
    assert "--shape 'x=1,N,4'" in text
    assert_nothing_written(tmp_path, model)
    assert zapdeploy("compile", model, "--shape", "x=1,5,4", "--json").json["batch"] == 1
    rows = zapdeploy("sweep", model, "--shape", "x=1,5,4", "--batches", "1,2", "--json").json
    assert [row["batch"] for row in rows["rows"]] == [1, 2]
    for wrong in ("x=1,5", "x=1,5,3", "y=1,5,4", "x=1,5,four"):
        assert "--shape" in complaint(zapdeploy("compile", model, "--shape", wrong))


def test_float_model_is_told_how_to_quantize(zapdeploy: Call, tmp_path: Path) -> None:
    file = OnnxFile(opset=13)
    x = file.input("x", [1, 4])
    file.output(file.node("MatMul", [x, file.constant(np.ones((4, 4), np.float32))]))
    model = file.save(tmp_path / "float.onnx")
    assert "zapdeploy quantize" in complaint(zapdeploy("compile", model))


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"wrong": np.zeros((1, 4), np.float32)}, "'x'"),
        ({"x": np.zeros((1, 5), np.float32)}, "[1, 5]"),
        ({"x": np.full((1, 4), np.nan, np.float32)}, "NaN"),
        ({"x": np.zeros((1, 4), np.int64)}, "int64"),
    ],
)
def test_wrong_inputs(
    zapdeploy: Call, tmp_path: Path, arrays: dict[str, np.ndarray], said: str
) -> None:
    model = one_layer(tmp_path / "m.onnx", [1, 4])
    zapdeploy("compile", model)
    save_arrays(tmp_path / "x.npz", arrays)
    text = complaint(
        zapdeploy(
            "simulate",
            tmp_path / "m.zap",
            "--inputs",
            tmp_path / "x.npz",
            "--outputs",
            tmp_path / "y.npz",
        )
    )
    assert said in text
    assert not (tmp_path / "y.npz").exists()


def test_pickled_inputs_are_refused(zapdeploy: Call, tmp_path: Path) -> None:
    model = one_layer(tmp_path / "m.onnx", [1, 4])
    zapdeploy("compile", model)
    np.savez(tmp_path / "x.npz", x=np.array([{"a": 1}], dtype=object))
    text = complaint(zapdeploy("simulate", tmp_path / "m.zap", "--inputs", tmp_path / "x.npz"))
    assert "numbers" in text


@pytest.mark.parametrize("where", [3, 9, 20, 50, 200, -1])
def test_flipped_byte_in_a_program(zapdeploy: Call, model: Path, where: int) -> None:
    zapdeploy("compile", model)
    program = model.with_suffix(".zap")
    content = bytearray(program.read_bytes())
    content[where] ^= 0x10
    program.write_bytes(content)
    assert "model.zap" in complaint(zapdeploy("simulate", program))


def test_the_checked_file_must_be_the_compiled_one(zapdeploy: Call, model: Path) -> None:
    zapdeploy("compile", model)
    one_layer(model, [1, 4])
    program = model.with_suffix(".zap")
    assert "compile it again" in complaint(zapdeploy("simulate", program, "--check"))
    model.unlink()
    assert "--reference" in complaint(zapdeploy("simulate", program, "--check"))


def _changed_target(tmp_path: Path, old: str, new: str) -> Path:
    text = target_text("northpole-sim")[1]
    assert old in text
    path = tmp_path / "chip.toml"
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[framebuffer]", "[framebuffer]\ncolour = 3", "framebuffer.colour"),
        ('"768 KiB"', '"768"', "core.memory"),
        ('"400 MHz"', '"400 kg"', "array.clock"),
        ('rows        = { is = "16"', 'rows        = { is = "15"', "totals"),
        ("[host]", "[hosts]", "hosts"),
    ],
)
def test_wrong_target(
    zapdeploy: Call, model: Path, tmp_path: Path, old: str, new: str, said: str
) -> None:
    target = _changed_target(tmp_path, old, new)
    assert said in complaint(zapdeploy("compile", model, "--target", target))
    assert said in complaint(zapdeploy("targets", "check", target))
    assert_nothing_written(tmp_path, model, target)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "nochip"], "northpole-sim"),
        (["--batch", "0"], "--batch"),
        (["--batch", "x"], "--batch"),
        (["--chips", "0"], "--chips"),
        (["--chips", "99"], "--chips must be at most the network's 2 layers, not 99"),
        (["--batch", "4", "--micro-batch", "3"], "--micro-batch must divide the batch of 4"),
        (["--objective", "beauty"], "throughput"),
        (["-o", "no/such/folder/x.zap"], "no/such/folder"),
        (["--frob"], "--frob"),
    ],
)
def test_wrong_options(zapdeploy: Call, model: Path, arguments: list[str], said: str) -> None:
    assert said in complaint(zapdeploy("compile", model, *arguments))


def test_debug_shows_the_traceback(zapdeploy: Call, tmp_path: Path) -> None:
    from zapdeploy.errors import ModelError

    with pytest.raises(ModelError):
        zapdeploy("compile", tmp_path / "no.onnx", "--debug")


def test_does_not_fit_is_an_answer(zapdeploy: Call, model: Path, tmp_path: Path) -> None:
    from zapdeploy.hardware_targets import target_text

    text = target_text("northpole-sim")[1].replace('"768 KiB"', '"2080 B"')
    text = text[: text.index("[totals]")] + text[text.index("[published.resnet50]") :]
    tiny = tmp_path / "tiny.toml"
    tiny.write_text(text)
    called = zapdeploy("compile", model, "--target", tiny)
    assert called.status == 1
    assert "does not fit" in called.out
    assert not model.with_suffix(".zap").exists()
    assert zapdeploy("compile", model, "--target", tiny, "--json").json["unfit"]["hints"]
