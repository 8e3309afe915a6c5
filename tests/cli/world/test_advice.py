"""What a refusal says to do is done as it is said, and the network then goes all the way."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.cli.conftest import Call
from tests.cli.world.writing import File

COMMANDS = ("check", "quantize")


def _decided_by_an_input(file: File) -> None:
    """An If whose condition compares a rate with a number, as silero-vad has it."""
    nodes = {
        "a": helper.make_node("Relu", ["x"], ["a"]),
        "b": helper.make_node("Concat", ["x", "x"], ["b"], axis=1),  # of another length
    }
    branches = [
        helper.make_graph(
            [node], name, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)]
        )
        for name, node in nodes.items()
    ]
    file.input("x", [1, 4])
    rate = file.input("sr", [], TensorProto.INT64, give=np.asarray(16000))
    same = file.node("Equal", [rate, file.constant(np.asarray(16000))])
    chosen = file.node("If", [same], then_branch=branches[0], else_branch=branches[1])
    largest = file.node("ReduceMax", [chosen], axes=[1])
    file.output(file.node("MatMul", [largest, file.floats(1, 2)]))


def _open_in_all(file: File) -> None:
    weights = file.floats(4, 3, 3, 3)
    x = file.input("an image", ["n", 3, "height", "?"])
    file.output(file.node("GlobalAveragePool", [file.node("Conv", [x, weights])]))


def _options(text: str) -> list[str]:
    """The options in a message, a number for each letter that stands for one."""
    given = re.search(r"give (--.*?)(?: for what| with a number)", " ".join(text.split()))
    assert given, text
    return [
        word.replace("VALUE", "16000").replace("N", "8") if word[:2] != "--" else word
        for word in shlex.split(given[1])
    ]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("write", [_decided_by_an_input, _open_in_all])
def test_options_that_a_refusal_names(
    write: object, command: str, zapdeploy: Call, tmp_path: Path
) -> None:
    file = File("asked")
    assert callable(write)
    write(file)
    model, made = file.save(tmp_path), tmp_path / "made.onnx"
    out: Sequence[object] = ("-o", made) if command == "quantize" else ()
    refused = zapdeploy(command, model, *out)
    assert refused.status in (1, 2)
    assert not made.exists()
    options = _options(refused.out + refused.err)
    assert zapdeploy(command, model, *out, *options).status == 0
    if command == "check":
        return
    program = tmp_path / "made.zap"
    assert zapdeploy("compile", made, "-o", program).status == 0
    assert zapdeploy("simulate", program, "--check", "--reference", made).status == 0


def test_the_axis_that_a_refusal_names(zapdeploy: Call, tmp_path: Path) -> None:
    """The file is made again with the attribute that it says."""
    for axis, status in ((1, 2), (0, 0)):
        file = File("scales")
        codes = file.dequantized(
            file.codes(6, 4, 3, 3), [0.01] * 6, np.zeros(6, np.int8), axis=axis
        )
        x = file.qdq(file.input("x", [1, 4, 5, 5]), 0.02, np.uint8(128))
        file.output(file.qdq(file.node("Conv", [x, codes]), 0.1, np.uint8(128)))
        called = zapdeploy("compile", file.save(tmp_path), "-o", tmp_path / "made.zap")
        assert called.status == status
        assert status == 0 or "set its attribute axis to 0, or export" in called.err
