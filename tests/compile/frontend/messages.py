"""How tests provoke and read messages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.compile.frontend.dialects import Kind, Style, Writer, perceptron
from tests.compile.frontend.onnx_files import OnnxFile
from zapdeploy.compile.frontend import import_model
from zapdeploy.errors import ModelError

BYTE = Kind(8, True, 0.5)


def message(path: Path, **options: Any) -> str:
    """What importing says, without the name of the folder; always one line."""
    with pytest.raises(ModelError) as caught:
        import_model(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text.replace(str(path.parent) + "/", "")


def valid() -> OnnxFile:
    return perceptron(Writer(), Style())[0]


def proto_message(tmp_path: Path, change: Callable[[onnx.ModelProto], object]) -> str:
    """The message for a small valid model after a change."""
    proto = valid().model()
    change(proto)
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return message(path)


def one_node(op: str, x: Any, *more: Any, opset: int = 21, **attributes: Any) -> OnnxFile:
    """A file of one quantizer, dequantizer and operator on input x of a shape."""
    file = OnnxFile(opset=opset)
    writer = Writer(file)
    start = writer.start("x", x, BYTE)
    inputs = [start.name, *(m if isinstance(m, str) else file.constant(m) for m in more)]
    file.output(file.node(op, inputs, "y", name="node", **attributes))
    return file


def quantizer(
    scale: Any = 0.5, zero: Any = 0, shape: tuple[int, ...] = (3, 4), **more: Any
) -> OnnxFile:
    """One QuantizeLinear ("quantizer") and one DequantizeLinear; "scale" may be an input."""
    file = OnnxFile()
    zero = zero if isinstance(zero, np.generic) else np.asarray(zero, np.int8)
    if isinstance(scale, str):
        file.input(scale, ())
    else:
        file.constant(np.asarray(scale, np.float32), "scale")
    parameters = ["scale", file.constant(zero, "zero")]
    x = file.input("x", shape)
    codes = file.node("QuantizeLinear", [x, *parameters], "codes", name="quantizer", **more)
    file.output(file.node("DequantizeLinear", [codes, *parameters], "y", **more))
    return file
