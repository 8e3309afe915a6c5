"""A command line to call, and a small quantized network to call it on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compile.frontend.dialects import Style, Writer, perceptron
from tests.compile.frontend.onnx_files import OnnxFile
from zapdeploy.cli import show
from zapdeploy.cli.app import run


@dataclass(frozen=True)
class Called:
    """What a call printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Call = Callable[..., Called]


@pytest.fixture
def zapdeploy(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    # How slow a machine is must not show in what a call prints.
    monkeypatch.setattr(show, "LINE_EVERY_S", math.inf)

    def call(*arguments: object) -> Called:
        capsys.readouterr()
        status = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Called(status, captured.out, captured.err)

    return call


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A perceptron in QDQ form."""
    return perceptron(Writer(), Style())[0].save(tmp_path / "model.onnx")


@pytest.fixture
def open_batch(tmp_path: Path) -> Path:
    """One layer whose first dimension is open."""
    return one_layer(tmp_path / "open.onnx", ["N", 4])


def one_layer(path: Path, shape: list[int | str]) -> Path:
    """A matrix product of 4 by 4 over an input "x", in QDQ form."""
    file = OnnxFile(opset=13)
    x = file.input("x", shape)
    scale, zero = file.constant(np.float32(0.5)), file.constant(np.int8(0))
    q = file.node("QuantizeLinear", [x, scale, zero])
    d = file.node("DequantizeLinear", [q, scale, zero])
    w = file.constant(np.ones((4, 4), np.int8))
    wd = file.node("DequantizeLinear", [w, scale, zero])
    y = file.node("MatMul", [d, wd])
    q2 = file.node("QuantizeLinear", [y, scale, zero])
    file.output(file.node("DequantizeLinear", [q2, scale, zero]))
    return file.save(path)
