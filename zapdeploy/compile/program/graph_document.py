"""A graph as JSON, its large arrays beside it: a part of a .zap file."""

from __future__ import annotations

import math
from operator import index
from typing import Any

import numpy as np

from zapdeploy.compile.graph import Array, ElementType, Graph, Node, Quantization, Value
from zapdeploy.compile.ops.base import operator
from zapdeploy.compile.ops.matrix import MatrixOperator
from zapdeploy.small_integers import pack, unpack
from zapdeploy.typed import typed

_Nodes = list[tuple[str, str, tuple[str, ...], tuple[str, ...], dict[str, Any], tuple[str, ...]]]
_INLINE = 4  # arrays of up to this many elements stand in the document


def graph_document(graph: Graph, arrays: list[Array]) -> dict[str, Any]:
    """What JSON says of a graph; `arrays` gets those that it points to."""

    def put(array: Array) -> Any:
        if array.size <= _INLINE and array.ndim == 1 and np.isfinite(array).all():
            return array.tolist()
        arrays.append(array)
        return {"array": len(arrays) - 1}

    def value_json(value: Value) -> dict[str, Any]:
        quantization, data = value.quantization, value.data
        return {
            "name": value.name,
            "shape": list(value.shape),
            "element": [value.element.kind, value.element.bits],
            "quantization": quantization
            and {
                "scale": put(quantization.scale),
                "zero_point": put(quantization.zero_point),
                "range": [quantization.low, quantization.high],
                "axis": quantization.axis,
            },
            "data": None if data is None else put(_pack(data, value.element).reshape(-1)),
        }

    return {
        "name": graph.name,
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "state": [list(pair) for pair in graph.state],
        **({"exchanged": sorted(graph.exchanged)} if graph.exchanged else {}),
        "nodes": [
            [
                n.name,
                n.op,
                list(n.inputs),
                list(n.outputs),
                {key: _attribute_document(value) for key, value in n.attributes.items()},
                list(n.sources),
            ]
            for n in graph.nodes
        ],
        "values": [value_json(graph.values[name]) for name in sorted(graph.values)],
    }


def graph_of(raw: dict[str, Any], arrays: list[Array]) -> Graph:
    """The graph of a document; whatever is not one raises some error of Python's."""

    def get(item: Any, dtype: Any) -> Array:
        if isinstance(item, dict):
            return arrays[item["array"]]
        return np.asarray(item, dtype)

    def value_from(item: dict[str, Any]) -> Value:
        shape, element = shape_of(item["shape"]), element_of(*item["element"])
        quantization, data = item["quantization"], item["data"]
        if quantization is not None:
            low, high = quantization["range"]
            quantization = Quantization(
                get(quantization["scale"], np.float32),
                get(quantization["zero_point"], np.int32),
                index(low),
                index(high),
                _axis(quantization["axis"], len(shape)),
            )
        if data is not None:
            stored = get(data, np.uint8 if element.bits < 8 else element.numpy)
            data = _unpack(stored, element, int(np.prod(shape, dtype=np.int64))).reshape(shape)
        return Value(typed(str, item["name"]), shape, element, quantization, data)

    values = [value_from(item) for item in raw["values"]]
    return Graph(
        raw["name"],
        tuple(
            Node(name, op, tuple(inputs), tuple(outputs), _attributes(attributes), tuple(sources))
            for name, op, inputs, outputs, attributes, sources in typed(_Nodes, raw["nodes"])
        ),
        {v.name: v for v in values},
        typed(tuple[str, ...], raw["inputs"]),
        typed(tuple[str, ...], raw["outputs"]),
        typed(tuple[tuple[str, str], ...], raw["state"]),
        frozenset(map(str, raw.get("exchanged", ()))),
    )


def shape_of(sizes: Any) -> tuple[int, ...]:
    """What a document says of a shape; ValueError for a negative size."""
    shape = tuple(map(index, sizes))
    if any(size < 0 for size in shape):
        raise ValueError(f"no shape {list(shape)}")
    return shape


def element_of(kind: str, bits: int) -> ElementType:
    """What a document says of one element; ValueError for no type that there is."""
    narrow = () if kind in ("float", "bool") else range(1, 9)
    widths = (*narrow, 16, 32, 64) if kind != "bool" else (8,)
    if kind not in ("int", "uint", "float", "bool") or index(bits) not in widths:
        raise ValueError(f"no element type {kind!r} of {bits!r} bits")
    return ElementType(kind, bits)


def _axis(axis: int | None, rank: int) -> int | None:
    if axis is not None and not 0 <= index(axis) < rank:
        raise ValueError(f"no axis {axis!r} of {rank} dimensions")
    return axis


def check_parameters(graph: Graph) -> None:
    """Raise ValueError unless scales and zero points go with their tensors, and those of weights
    with the outputs of their operator."""
    outputs = {}
    for call in graph.calls():
        op = operator(call.node.op)
        if isinstance(op, MatrixOperator):
            outputs[call.input(1).name] = op.channels(call)
    for value in graph.values.values():
        meaning, shape = value.quantization, value.shape
        if meaning is None:
            continue
        along = 1 if meaning.axis is None else outputs.get(value.name, shape[meaning.axis])
        for which in (meaning.scale, meaning.zero_point):
            fits = which.size in (1, along) if which.ndim == 1 else which.ndim == len(shape)
            if not (fits and which.size):
                raise ValueError(f"scales of shape {which.shape} for a tensor of shape {shape}")


def _attribute_document(value: Any) -> Any:
    """JSON has no infinity, which a Clip without a bound has."""
    if isinstance(value, tuple):
        return [_attribute_document(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    return value


def _attribute(raw: Any) -> Any:
    """The inverse of `_attribute_document`."""
    if isinstance(raw, list):
        return tuple(_attribute(item) for item in raw)
    return float(raw["float"]) if isinstance(raw, dict) else raw


def _attributes(raw: dict[str, Any]) -> dict[str, Any]:
    return {key: _attribute(value) for key, value in raw.items()}


def _pack(data: Array, element: ElementType) -> Array:
    """Elements below 8 bits, several to a byte; wider ones as they are."""
    if element.bits >= 8 or not element.is_integer:
        return data
    return pack(np.ascontiguousarray(data).reshape(-1), element.bits)


def _unpack(stored: Array, element: ElementType, count: int) -> Array:
    """The inverse of `_pack`, as int8 or uint8."""
    if element.bits >= 8 or not element.is_integer:
        return stored
    return np.asarray(unpack(stored, element.bits, signed=element.kind == "int", count=count))
