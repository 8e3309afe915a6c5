"""Writes ONNX files of a few nodes, with inputs to run them on."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

float32, int8, uint8 = np.float32, np.int8, np.uint8
FILES: dict[str, Callable[[Path], Path]] = {}


class File:
    """A model under construction; `feeds` are inputs to run it on, where they matter."""

    def __init__(self, name: str, opset: int = 17, domains: Sequence[str] = ()) -> None:
        self.name, self.opset, self.domains = name, opset, domains
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.feeds: dict[str, Any] = {}
        self.random = np.random.default_rng(zlib.crc32(name.encode()))

    def constant(self, value: Any, name: str = "", t: int = 0) -> str:
        """An initializer, of ONNX's type `t` where NumPy has none."""
        name, array = name or f"c{len(self.initializers)}", np.asarray(value)
        flat = [int(v) for v in array.ravel()] if t else []
        self.initializers.append(
            helper.make_tensor(name, t, array.shape, flat)
            if t
            else numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        )
        return name

    def node(self, op: str, inputs: Sequence[str], outputs: int = 1, **attributes: Any) -> Any:
        """One node; the name of its output, or a list of several."""
        count = len(self.nodes)
        made = [f"{op.lower()}_{count}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, made, name=f"n{count}_{op}", **attributes))
        return made[0] if outputs == 1 else made

    def input(
        self, name: str, shape: Sequence[Any], t: int = TensorProto.FLOAT, give: Any = None
    ) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, t, shape))
        if give is not None:
            self.feeds[name] = give
        elif all(isinstance(v, int) for v in shape) and t == TensorProto.FLOAT:
            self.feeds[name] = self.random.normal(size=shape).astype(np.float32)
        return name

    def output(self, name: str, t: int = TensorProto.FLOAT) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, t, None))

    def quantized(self, x: str, scale: Any, zero: Any, **attributes: Any) -> Any:
        inputs = [x, self.constant(np.asarray(scale, np.float32)), self.constant(zero)]
        return self.node("QuantizeLinear", inputs, **attributes)

    def qdq(self, x: str, scale: Any, zero: Any, **attributes: Any) -> Any:
        """A quantizer and the dequantizer behind it."""
        meaning = [self.constant(np.asarray(scale, np.float32)), self.constant(zero)]
        codes = self.node("QuantizeLinear", [x, *meaning], **attributes)
        return self.node("DequantizeLinear", [codes, *meaning], **attributes)

    def dequantized(
        self, codes: Any, scale: Any, zero: Any = None, t: int = 0, **attributes: Any
    ) -> Any:
        """A constant behind a dequantizer."""
        inputs = [self.constant(codes, t=t), self.constant(np.asarray(scale, np.float32))]
        if zero is not None:
            inputs.append(self.constant(zero, t=t))
        return self.node("DequantizeLinear", inputs, **attributes)

    def codes(self, *shape: int) -> Any:
        return self.random.integers(-127, 128, shape).astype(np.int8)

    def floats(self, *shape: int) -> str:
        """Constant weights."""
        return self.constant((self.random.normal(size=shape) * 0.2).astype(np.float32))

    def save(self, folder: Path) -> Path:
        """The file, and its inputs beside it where there are any."""
        graph = helper.make_graph(
            self.nodes, self.name, self.inputs, self.outputs, self.initializers
        )
        opsets = [helper.make_opsetid("", self.opset)]
        opsets += [helper.make_opsetid(domain, 1) for domain in self.domains]
        path = folder / f"{self.name}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
        if self.feeds and len(self.feeds) == len(self.inputs):
            np.savez(path.with_suffix(".npz"), **self.feeds)
        return path


def case(opset: int = 17, domains: Sequence[str] = ()) -> Callable[[Any], Callable[[File], None]]:
    """Decorator: the function writes the file of its name."""

    def listed(write: Callable[[File], None]) -> Callable[[File], None]:
        def made(folder: Path) -> Path:
            file = File(write.__name__, opset, domains)
            write(file)
            return file.save(folder)

        assert write.__name__ not in FILES
        FILES[write.__name__] = made
        return write

    return listed


def all_files() -> dict[str, Callable[[Path], Path]]:
    """What writes each file, by name."""
    package = import_module("tests.cli.world")
    for module in iter_modules(package.__path__):
        if not module.name.startswith("test_"):
            import_module(f"tests.cli.world.{module.name}")
    return FILES
