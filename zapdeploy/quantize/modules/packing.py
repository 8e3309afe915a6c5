"""Rewrites of an exported QCDQ file: constants made plain, low bits packed into narrow types."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, numpy_helper

from zapdeploy.quantize.source import raise_opset, standard_opset
from zapdeploy.quantize.tensors import packed_constant
from zapdeploy.simplify.onnx_operators import PRODUCTS, STATIC_QUANTIZERS

PACKED_OPSET, PACKED_IR = 21, 10
INT2_OPSET, INT2_IR = 25, 12


CONSTANT_READERS = STATIC_QUANTIZERS | {"Clip"}  # as Brevitas writes weights


def tidy(
    model: onnx.ModelProto, inputs: tuple[str, ...], layers: tuple[str, ...]
) -> onnx.ModelProto:
    """Drop what the exporter leaves beside the graph; changes and returns `model`.

    Initializers stop being inputs, and the zero points of biases, which are zero, go. Every node
    gets constants of its own: ONNX Runtime's optimizer fails on some that are shared. Matrix nodes
    are named after `layers`, which are in topological order.
    """
    graph = model.graph
    kept = [value for value in graph.input if value.name in inputs]
    del graph.input[:]
    graph.input.extend(kept)
    del graph.value_info[:]
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for node in graph.node:
        node.doc_string = ""
        biases = (
            node.op_type == "DequantizeLinear" and types.get(node.input[0]) == TensorProto.INT32
        )
        if biases and len(node.input) == 3:
            del node.input[2]
    _count_axes_from_the_end(graph)
    _own_constants(graph)
    _name_layers(graph, layers)
    _drop_unread(model)
    model.producer_name = "zapdeploy"
    return model


def _count_axes_from_the_end(graph: onnx.GraphProto) -> None:
    """Scales of activations run along the last axis; Brevitas gives the place in its own vector."""
    constant = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Clip" and node.input[0] in constant:
            constant.update(node.output)
        if node.op_type in STATIC_QUANTIZERS and node.input[0] not in constant:
            for attribute in node.attribute:
                if attribute.name == "axis":
                    attribute.i = -1


def _own_constants(graph: onnx.GraphProto) -> None:
    """Copy constants that several quantizers, dequantizers and clips read."""
    held = {tensor.name: tensor for tensor in graph.initializer}
    seen: Counter[str] = Counter()
    for node in graph.node:
        if node.op_type not in CONSTANT_READERS:
            continue
        for index, name in enumerate(node.input):
            if name in held and seen[name]:
                copy = TensorProto()
                copy.CopyFrom(held[name])
                copy.name = node.input[index] = f"{name}_{seen[name]}"
                graph.initializer.append(copy)
            seen[name] += 1


def _name_layers(graph: onnx.GraphProto, layers: tuple[str, ...]) -> None:
    """Name the nodes that multiply by constant weights as the module names its layers."""
    constant = {tensor.name for tensor in graph.initializer}
    names = iter(layers)
    for node in graph.node:
        moves = node.op_type in (*CONSTANT_READERS, "Transpose")
        if moves and node.input[0] in constant:
            constant.update(node.output)
        elif node.op_type in PRODUCTS and node.input[1] in constant:
            node.name = next(names, node.name)


def pack(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same function with weights in INT4 and INT2 tensors in the place of Clip over 8-bit ones.

    Activations stay behind their Clip, as `form_qdq` has them.
    """
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    widths = _clipped_bits(model, held)
    two = 2 in widths.values()
    opset, ir_version = (INT2_OPSET, INT2_IR) if two else (PACKED_OPSET, PACKED_IR)
    if standard_opset(model) < opset:
        model = raise_opset(model, opset)
    del model.graph.value_info[:]
    model.ir_version = ir_version
    _Packer(model, widths).pack()
    _drop_unread(model)
    return model


def _clipped_bits(model: onnx.ModelProto, held: dict[str, TensorProto]) -> dict[str, int]:
    """Bits of the weights that a Clip before the dequantizer makes narrow, by the Clip's result."""
    read_by = {node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    found = {}
    for node in model.graph.node:
        if node.op_type == "Clip" and node.output[0] in read_by and node.input[0] in held:
            low, high = (int(numpy_helper.to_array(held[name])) for name in node.input[1:3])
            found[node.output[0]] = int(high - low).bit_length()
    return found


class _Packer:
    """Rewrites one model in place. `bits` has the output of every Clip that goes."""

    def __init__(self, model: onnx.ModelProto, bits: dict[str, int]) -> None:
        self.graph = model.graph
        self.bits = bits
        self.held = {tensor.name: tensor for tensor in self.graph.initializer}

    def pack(self) -> None:
        clips = [node for node in self.graph.node if node.output and node.output[0] in self.bits]
        for clip in clips:
            bits, source = self.bits[clip.output[0]], clip.input[0]
            narrow = self._narrowed(source, bits)
            self._point_readers(clip.output[0], narrow, bits)
            self.graph.node.remove(clip)

    def _point_readers(self, old: str, new: str, bits: int) -> None:
        """Let the dequantizers of `old` read `new`, with a zero point of its type."""
        for node in self.graph.node:
            if node.op_type == "DequantizeLinear" and node.input[0] == old:
                node.input[0] = new
                node.input[2] = self._narrowed(node.input[2], bits)

    def _narrowed(self, name: str, bits: int) -> str:
        """An initializer of fewer bits with the same values; its name."""
        narrow = f"{name}_int{bits}"
        if narrow not in self.held:
            values: NDArray[np.integer] = numpy_helper.to_array(self.held[name])
            self.held[narrow] = packed_constant(narrow, values, bits, signed=True)
            self.graph.initializer.append(self.held[narrow])
        return narrow


def _drop_unread(model: onnx.ModelProto) -> None:
    """Remove nodes and initializers whose results nobody reads."""
    graph = model.graph
    outputs = {value.name for value in graph.output}
    while True:
        reads = Counter(name for node in graph.node for name in node.input)
        dead: list[NodeProto] = [
            node for node in graph.node if not any(reads[n] or n in outputs for n in node.output)
        ]
        if not dead:
            break
        for node in dead:
            graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
