"""Damaged, lying and oversized models: one short line, exit status 2, nothing left over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.compile.frontend.onnx_files import OnnxFile
from zapdeploy.cli.app import run


def sound() -> OnnxFile:
    file = OnnxFile()
    parameters = [file.constant(np.float32(0.5)), file.constant(np.int8(0))]
    codes = file.node("QuantizeLinear", [file.input("x", (4, 6)), *parameters])
    file.output(file.node("Relu", [file.node("DequantizeLinear", [codes, *parameters])]))
    return file


def calls(depth: int, each: int) -> onnx.ModelProto:
    """Functions of functions: each^depth nodes when they are written out."""
    model = sound().model()
    for level in range(depth):
        inner = ("own", f"f{level + 1}") if level + 1 < depth else ("", "Identity")
        names = ["a", *(f"t{index}" for index in range(each - 1)), "b"]
        nodes = [
            helper.make_node(inner[1], [before], [after], domain=inner[0])
            for before, after in pairwise(names)
        ]
        imports = [helper.make_opsetid("", 21), helper.make_opsetid("own", 1)]
        model.functions.append(
            helper.make_function("own", f"f{level}", ["a"], ["b"], nodes, imports)
        )
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.graph.node.append(helper.make_node("f0", ["x"], ["z"], domain="own"))
    return model


def renamed(change: Callable[[onnx.ModelProto], None]) -> onnx.ModelProto:
    model = sound().model()
    change(model)
    return model


def with_dimension(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "\x1b[31mbatch"


def with_location(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="a\x1b]0;owned\x07b")


def with_attribute(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("\x1b[2J", 1))


def with_external_constant(model: onnx.ModelProto) -> None:
    tensor = TensorProto(name="c", data_type=1, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/dev/zero")
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))


def with_huge_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 10**9


def with_long_name(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "X" * 100_000


def with_many_nodes(model: onnx.ModelProto) -> None:
    before = model.graph.output[0].name
    for index in range(20_000):
        model.graph.node.append(helper.make_node("Relu", [before], [f"r{index}"]))
        before = f"r{index}"
    model.graph.output[0].name = before


def with_recursion(model: onnx.ModelProto) -> None:
    node = helper.make_node("again", ["a"], ["b"], domain="own")
    imports = [helper.make_opsetid("own", 1)]
    model.functions.append(helper.make_function("own", "again", ["a"], ["b"], [node], imports))
    model.graph.node.append(helper.make_node("again", ["x"], ["z"], domain="own"))


HOSTILE = {
    "dimension": (renamed(with_dimension), "names must be printable text"),
    "location": (renamed(with_location), "names must be printable text"),
    "attribute": (renamed(with_attribute), "names must be printable text"),
    "external constant": (renamed(with_external_constant), "constants must lie in the file"),
    "huge input": (renamed(with_huge_input), "must have at most 2,147,483,648 elements, not"),
    "long name": (renamed(with_long_name), "is not supported"),
    "many nodes": (renamed(with_many_nodes), "model must have at most 10,000 nodes"),
    "recursion": (renamed(with_recursion), "function 'again' must not call itself"),
    "functions": (calls(12, 10), "functions written out, not 1,000,000,000,003"),
}


@pytest.mark.parametrize("label", HOSTILE)
@pytest.mark.parametrize("command", ["check", "compile"])
def test_one_line_and_no_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], label: str, command: str
) -> None:
    model, reason = HOSTILE[label]
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    started = time.monotonic()
    status = run([command, str(path)])
    printed = capsys.readouterr()
    if label == "long name" and command == "check":
        assert status == 1  # it judged the file, and the answer is no
        return
    assert status == 2
    assert time.monotonic() - started < 10
    assert reason in printed.err
    assert printed.err.count("\n") == 1
    assert printed.err[:-1].isprintable()
    assert len(printed.err) < 1100
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("bad", ["folder", "pipe", "/dev/zero", "/dev/null"])
def test_what_is_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], bad: str) -> None:
    path = tmp_path / bad if "/" not in bad else Path(bad)
    if bad == "pipe":
        os.mkfifo(path)
    if bad == "folder":
        path.mkdir()
    assert run(["check", str(path)]) == 2
    assert "must be a regular file, not a" in capsys.readouterr().err


def test_no_output_replaces_an_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = sound().save(tmp_path / "model.onnx")
    before = path.read_bytes()
    for output in (["-o", str(path)], [f"--output={path}"]):
        assert run(["compile", str(path), *output]) == 2
        assert "must not be a file that is read; give another name" in capsys.readouterr().err
    program, inputs = tmp_path / "model.zap", tmp_path / "x.npz"
    assert run(["compile", str(path), "-o", str(program)]) == 0
    np.savez(inputs, x=np.zeros((4, 6), np.float32))
    for output_path in (program, inputs):
        kept = output_path.read_bytes()
        arguments = ["--inputs", str(inputs), "--outputs", str(output_path)]
        assert run(["simulate", str(program), *arguments]) == 2
        assert output_path.read_bytes() == kept
    assert path.read_bytes() == before


def test_a_request_to_end_leaves_nothing(tmp_path: Path) -> None:
    """SIGTERM in the middle of a write: the temporary file goes, the old file stays."""
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from zapdeploy.cli import app\n"
        "from zapdeploy.files import atomic_write\n"
        "def slow(arguments):\n"
        "    with atomic_write(Path(sys.argv[1])) as file:\n"
        "        print('writing', flush=True)\n"
        "        time.sleep(60)\n"
        "app.run = slow\n"
        "app.main()\n"
    )
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"out.bin": b"old"}
