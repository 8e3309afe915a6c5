"""The ONNX reference of a graph: DequantizeLinear, a float operator, QuantizeLinear, for each node.

The tests' outside truth: ONNX Runtime runs it, with its integer kernels or without optimizations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from zapdeploy.compile.graph import Array, Call, Graph, Node, Quantization, Value
from zapdeploy.onnxruntime_sessions import Purpose, open_session

TYPES = {
    "float32": onnx.TensorProto.FLOAT,
    "int8": onnx.TensorProto.INT8,
    "uint8": onnx.TensorProto.UINT8,
    "int16": onnx.TensorProto.INT16,
    "uint16": onnx.TensorProto.UINT16,
    "int32": onnx.TensorProto.INT32,
    "int64": onnx.TensorProto.INT64,
    "bool": onnx.TensorProto.BOOL,
}
VECTOR_INPUTS = {
    "Clip": ("low", "high"),
    "ReduceMean": ("axes",),
    "ReduceSum": ("axes",),
    "ReduceMax": ("axes",),
    "ReduceMin": ("axes",),
    "Slice": ("starts", "steps"),
    "Pad": ("pads", "value"),
}
NEWER = {"RMSNormalization": 23, "Swish": 24}  # operators that came after opset 21


class OnnxReference:
    """Collects ONNX nodes and initializers for a graph.

    `packed`: 4-bit values have ONNX's 4-bit types; otherwise they are bytes with a Clip.
    """

    def __init__(self, graph: Graph, packed: bool = False) -> None:
        self.graph = graph
        self.packed = packed
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.seen: set[str] = set()
        for call in graph.calls():
            self.add(call)

    def model(self, opset: int = 21) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            self.graph.name,
            [self.info(n) for n in self.graph.inputs],
            [self.info(n) for n in self.graph.outputs],
            self.initializers,
        )
        newest = max(NEWER.get(node.op_type, opset) for node in self.nodes)
        opsets = [helper.make_opsetid("", newest)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        onnx.checker.check_model(model, full_check=True)
        return model

    def info(self, name: str) -> onnx.ValueInfoProto:
        value = self.graph.values[name]
        kind = TYPES[value.element.numpy.name]
        return helper.make_tensor_value_info(name, kind, value.shape)

    def emit(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        name = f"{output}__{op}" if any(output == n.name for n in self.nodes) else output
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=name, **attributes))
        return output

    def constant(self, name: str, array: Array) -> str:
        if name not in self.seen:
            self.seen.add(name)
            self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def codes(self, name: str, array: Array, value: Value) -> str:
        """A constant of a quantized value's type."""
        if not self.narrow(value):
            return self.constant(name, array.astype(value.element.numpy))
        if name not in self.seen:
            self.seen.add(name)
            kind = getattr(onnx.TensorProto, value.element.name.upper())
            numbers = array.ravel().tolist()
            self.initializers.append(helper.make_tensor(name, kind, array.shape, numbers))
        return name

    def narrow(self, value: Value) -> bool:
        return self.packed and value.element.bits == 4

    def parameters(self, value: Value, q: Quantization) -> list[str]:
        scale, zero = q.scale, q.zero_point
        if q.axis is None:
            scale, zero = scale.reshape(()), zero.reshape(())
        return [
            self.constant(f"{value.name}.scale", scale),
            self.codes(f"{value.name}.zero", zero, value),
        ]

    def real(self, value: Value, reader: str) -> str:
        """The name of the value as real numbers, for one reader."""
        if value.data is not None:
            self.codes(value.name, value.data, value)
        q = value.quantization
        if q is None:
            return value.name
        axis = {} if q.axis is None else {"axis": q.axis}
        inputs = [value.name, *self.parameters(value, q)]
        return self.emit("DequantizeLinear", inputs, f"{value.name}.real.{reader}", **axis)

    def write(self, real: str, value: Value) -> None:
        """Quantize real numbers into the value; a narrower range is a Clip on the codes."""
        q = value.quantization
        assert q is not None
        narrow = not self.narrow(value) and (q.low, q.high) != _type_limits(value)
        target = f"{value.name}.wide" if narrow else value.name
        axis = {} if q.axis is None else {"axis": q.axis}
        self.emit("QuantizeLinear", [real, *self.parameters(value, q)], target, **axis)
        if narrow:
            kind = value.element.numpy
            bounds = [
                self.constant(f"{value.name}.low", np.asarray(q.low, kind)),
                self.constant(f"{value.name}.high", np.asarray(q.high, kind)),
            ]
            self.emit("Clip", [target, *bounds], value.name)

    def add(self, call: Call) -> None:
        if call.node.op == "BlockSparse":
            call = self.dense(call)
        out = call.output
        real = out.name if out.quantization is None else f"{out.name}.real"
        reals = [
            "" if v is None else self.real(v, f"{call.node.name}.{index}")
            for index, v in enumerate(call.inputs)
        ]
        self.operate(call, reals, real)
        if out.quantization is not None:
            self.write(real, out)

    def dense(self, call: Call) -> Call:
        """A sparse product as a convolution with all weights, the missing ones 0."""
        x, w, numbers = call.input(0), call.input(1), call.input(5)
        assert w.data is not None
        assert numbers.data is not None
        first, (_, rows, length) = call.ints("first"), w.shape
        full = np.zeros((len(first) - 1, rows, x.shape[1], length), w.element.numpy)
        for group, (low, high) in enumerate(pairwise(first)):
            for t in range(low, high):
                full[group, :, numbers.data[t]] = w.data[t]
        columns = x.shape[1] * length
        weights = replace(w, shape=(full[..., 0, 0].size, columns, 1))
        assert w.quantization is not None
        zeros = np.zeros(w.quantization.scale.size, np.int32)
        meaning = replace(w.quantization, zero_point=zeros)
        weights = replace(weights, data=full.reshape(weights.shape), quantization=meaning)
        flat = replace(x, name=f"{x.name}.flat", shape=(x.shape[0], columns, 1))
        shape = self.constant(f"{flat.name}.shape", np.array(flat.shape, np.int64))
        self.emit("Reshape", [x.name, shape], flat.name)
        attributes: dict[str, Any] = {
            "strides": (1,), "dilations": (1,), "pads": (0, 0), "group": 1,
        }  # fmt: skip
        inputs = (flat, weights, call.optional(2))
        names = tuple("" if v is None else v.name for v in inputs)
        node = Node(call.node.name, "Conv", names, call.node.outputs, attributes)
        return Call(node, inputs, call.outputs)

    def operate(self, call: Call, reals: list[str], real: str) -> None:
        op, attributes = call.node.op, dict(call.node.attributes)
        if op == "AveragePool" and set(call.ints("dilations")) == {1}:
            del attributes["dilations"]  # ONNX Runtime's integer kernel refuses it
        if op in ("Quantize", "Dequantize", "Requantize"):
            self.emit("Identity", reals, real)
        elif len(call.outputs) > 1:
            self.nodes.append(helper.make_node(op, reals, [v.name for v in call.outputs], real))
        elif op == "ConvTranspose":
            self.transposed(call, reals, real, attributes)
        elif op == "Take":
            self.take(call, reals[0], real)
        elif op == "Tile":
            times = np.asarray(call.output.shape) // np.asarray(call.input(0).shape)
            self.emit("Tile", [*reals, self.constant(f"{real}.times", times)], real)
        elif op == "Cast":
            self.emit("Cast", reals, real, to=TYPES[call.output.element.numpy.name])
        elif op == "CumSum":
            axis = self.constant(f"{real}.axis", np.asarray(attributes.pop("axis"), np.int64))
            self.emit("CumSum", [*reals, axis], real, **attributes)
        elif op == "TopK":
            self.top(call, reals[0], real, attributes)
        elif op == "RealMatMul" and len(reals) == 2:
            self.emit("MatMul", reals, real)
        elif op in ("MatMul", "RealMatMul") and len(reals) == 3:
            self.emit("MatMul", reals[:2], f"{real}.product")
            self.emit("Add", [f"{real}.product", reals[2]], real)
        elif op == "Reshape":
            shape = self.constant(f"{real}.shape", np.asarray(call.output.shape, np.int64))
            self.emit("Reshape", [*reals, shape], real)
        elif op in VECTOR_INPUTS:
            self.emit(op, [*reals, *self.vectors(call, attributes)], real, **attributes)
        else:
            self.emit(op, reals, real, **attributes)

    def top(self, call: Call, source: str, real: str, attributes: dict[str, Any]) -> None:
        """Both outputs, of which one is wanted."""
        k = call.output.shape[attributes["axis"]]
        inputs = [source, self.constant(f"{real}.k", np.asarray([k], np.int64))]
        names = [f"{real}.values", f"{real}.places"]
        names[attributes.pop("indices")] = real
        self.nodes.append(helper.make_node("TopK", inputs, names, real, **attributes))

    def take(self, call: Call, source: str, real: str) -> None:
        """A Gather along each axis."""
        axes, flat = call.ints("axes"), list(call.ints("indices"))
        for axis in axes:
            count = call.output.shape[axis]
            part, flat = flat[:count], flat[count:]
            indices = self.constant(f"{real}.indices.{axis}", np.asarray(part, np.int64))
            target = real if axis == axes[-1] else f"{real}.taken.{axis}"
            source = self.emit("Gather", [source, indices], target, axis=axis)

    def transposed(
        self, call: Call, reals: list[str], real: str, attributes: dict[str, Any]
    ) -> None:
        """Weights in ONNX's order [C, O/group, *K]; a negative pad is output_padding."""
        group, w = call.int("group"), call.input(1).shape
        grouped, turned = f"{real}.w.grouped", f"{real}.w.turned"
        for source, shape, result in (
            (reals[1], (group, w[0] // group, *w[1:]), grouped),
            (turned, (group * w[1], w[0] // group, *w[2:]), f"{real}.w"),
        ):
            target = self.constant(f"{result}.shape", np.asarray(shape, np.int64))
            self.emit("Reshape", [source, target], result)
            if result == grouped:
                perm = [0, 2, 1, *range(3, len(w) + 1)]
                self.emit("Transpose", [grouped], turned, perm=perm)
        pads = np.asarray(attributes["pads"])
        attributes["pads"] = np.maximum(pads, 0).tolist()
        attributes["output_padding"] = np.maximum(-pads, 0)[len(w) - 2 :].tolist()
        self.emit("ConvTranspose", [reals[0], f"{real}.w", *reals[2:]], real, **attributes)

    def vectors(self, call: Call, attributes: dict[str, Any]) -> list[str]:
        """The inputs that this graph holds as attributes."""
        name, op = call.node.name, call.node.op
        found = {k: attributes.pop(k) for k in VECTOR_INPUTS[op]}
        if op in ("Clip", "Pad"):
            for k in set(found) - {"pads"}:
                found[k] = np.float32(found[k])
        arrays = {k: np.asarray(v) for k, v in found.items()}
        if op == "Slice":
            starts, steps = arrays["starts"], arrays["steps"]
            ends = starts + steps * np.asarray(call.output.shape)
            ends = np.where(ends < 0, np.iinfo(np.int64).min, ends)
            arrays = {
                "starts": starts,
                "ends": ends,
                "axes": np.arange(len(starts)),
                "steps": steps,
            }
        return [self.constant(f"{name}.{k}", v) for k, v in arrays.items()]


def _type_limits(value: Value) -> tuple[int, int]:
    info = np.iinfo(value.element.numpy)
    return int(info.min), int(info.max)


def session(model: onnx.ModelProto, integer: bool) -> onnxruntime.InferenceSession:
    """With ONNX Runtime's own optimizations (its integer kernels), or with none."""
    return open_session(model, Purpose.INTEGER if integer else Purpose.PLAIN, threads=1)


def run(
    graph: Graph, inputs: Mapping[str, Array], *, integer: bool = False, opset: int = 21
) -> dict[str, Array]:
    """What ONNX Runtime computes for the graph's outputs."""
    model = OnnxReference(graph).model(opset)
    found = session(model, integer).run(None, dict(inputs))
    return dict(zip(graph.outputs, found, strict=True))
