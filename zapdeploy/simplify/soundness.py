"""Before anything of an ONNX file is looked at: names that can be shown, and sizes with an end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

import onnx

from zapdeploy.errors import ModelError

MOST_NODES = 10_000
MOST_ELEMENTS = 1 << 31  # of one tensor
MOST_DEPTH = 16  # of graphs in attributes of graphs
MOST_FUNCTIONS_DEEP = 100
_Function = tuple[str, str]


def check_sound(model: onnx.ModelProto) -> None:
    """Raise ModelError for names that are no text, tensors or graphs without a sane size, and
    functions that lead back to themselves or to too many nodes."""
    functions = {(f.domain, f.name): f for f in model.functions}
    for graph_names in (
        _graph_names(model.graph, 0),
        *(_function_names(f) for f in model.functions),
    ):
        for name in graph_names:
            _check_name(name)
    for entry in model.opset_import:
        _check_name(entry.domain)
    count = _expanded(model.graph.node, functions, {}, ())
    if count > MOST_NODES:
        raise ModelError(
            f"model must have at most {MOST_NODES:,} nodes, its functions written out, "
            f"not {count:,}; cut it into parts"
        )


def check_size(what: str, shape: tuple[int, ...]) -> None:
    """Raise ModelError for a tensor that no memory here holds."""
    count = prod(shape)
    if count > MOST_ELEMENTS:
        raise ModelError(
            f"{what} must have at most {MOST_ELEMENTS:,} elements, not {count:,} "
            f"({list(shape)}); give smaller dimensions"
        )


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name.isprintable():
        raise ModelError(
            f"names must be printable text, not {str(name)[:80]!r}; export the model again"
        )


def _graph_names(graph: onnx.GraphProto, depth: int) -> Iterator[object]:
    if depth > MOST_DEPTH:
        raise ModelError(
            f"graphs in graphs must be at most {MOST_DEPTH} deep, not deeper "
            f"(in '{graph.name[:80]}'); export the model again"
        )
    yield graph.name
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield value.name
        if value.type.HasField("tensor_type"):
            yield from (dimension.dim_param for dimension in value.type.tensor_type.shape.dim)
    for tensor in graph.initializer:
        yield from _tensor_names(tensor)
    yield from _node_names(graph.node, depth)


def _function_names(function: onnx.FunctionProto) -> Iterator[object]:
    yield from (function.name, function.domain, *function.input, *function.output)
    yield from function.attribute
    yield from _node_names(function.node, 0)


def _node_names(nodes: object, depth: int) -> Iterator[object]:
    for node in nodes:  # type: ignore[attr-defined]
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield attribute.name
            for tensor in (attribute.t, *attribute.tensors):
                yield from _tensor_names(tensor)
                if tensor.data_location == onnx.TensorProto.EXTERNAL:
                    raise ModelError(
                        f"constants must lie in the file, not in external data ({node.op_type} of "
                        f"'{', '.join(node.output)}'); save only initializers as external data"
                    )
            for graph in (attribute.g, *attribute.graphs):
                if graph.ByteSize():
                    yield from _graph_names(graph, depth + 1)


def _tensor_names(tensor: onnx.TensorProto) -> Iterator[object]:
    yield tensor.name
    for entry in tensor.external_data:
        yield entry.value


def _expanded(
    nodes: object,
    functions: Mapping[_Function, onnx.FunctionProto],
    known: dict[_Function, int],
    open_calls: tuple[_Function, ...],
) -> int:
    """How many nodes there are once every call of the file's own functions is its body."""
    count = 0
    for node in nodes:  # type: ignore[attr-defined]
        key = (node.domain, node.op_type)
        if key not in functions:
            count += 1
            for attribute in node.attribute:
                for graph in (attribute.g, *attribute.graphs):
                    count += _expanded(graph.node, functions, known, open_calls)
            continue
        if key in open_calls or len(open_calls) >= MOST_FUNCTIONS_DEEP:
            raise ModelError(
                f"function '{key[1]}' must not call itself, directly or through others; "
                "export the model again"
            )
        if key not in known:
            known[key] = _expanded(functions[key].node, functions, known, (*open_calls, key))
        count += known[key]
    return count
