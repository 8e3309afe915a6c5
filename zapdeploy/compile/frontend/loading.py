"""From a file to a model whose structure is sound."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from zapdeploy.errors import ModelError, ZapdeployError
from zapdeploy.files import require_regular
from zapdeploy.simplify import (
    Batch,
    InputShapes,
    Simplified,
    digest,
    external_files,
    simplify,
)
from zapdeploy.simplify.graphs import all_nodes, inner_graphs
from zapdeploy.simplify.soundness import check_sound
from zapdeploy.text import one_line

MOST_BYTES = (1 << 31) - 1  # of an ONNX file without its external data: protobuf's own limit


@dataclass(frozen=True, eq=False)
class Source:
    """A loaded file in plain form. `sha256` covers the file and the external data it names.

    `opset` is that of the nodes as they are read, `batch` what was put in the place of the file's,
    `notes` say what else was changed.
    """

    model: ir.Model
    sha256: str
    opset: int
    producer: str
    batch: Batch | None
    notes: tuple[str, ...]


def load(path: Path, shapes: InputShapes | None = None) -> Source:
    """Read an ONNX file. Big tensors stay in the file's buffer (or on disk) until they are used."""
    proto, content = _parse(path)
    check_sound(proto)
    _check_opset(proto, path.name)
    in_order = _check_names(proto.graph)
    files = external_files(proto, path.parent)
    if not in_order:
        _sort(proto.graph)
    simple = _simplified(proto, path, shapes)
    check_sound(simple.model)
    opset = _opset(simple.model)
    model = _deserialize(simple.model, path)
    _check_external_files(model, path.parent)
    producer = one_line(f"{proto.producer_name} {proto.producer_version}", 200)
    return Source(model, digest(content, files), opset, producer, simple.batch, simple.notes)


def _simplified(proto: onnx.ModelProto, path: Path, shapes: InputShapes | None) -> Simplified:
    try:
        return simplify(proto, shapes)
    except ZapdeployError:
        raise
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(f"model must follow the ONNX format: {reason} ('{path}')") from error


def _sort(graph: onnx.GraphProto) -> None:
    """Put the nodes in an order in which each comes after those that it reads from."""
    nodes = list(graph.node)
    producer = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    needs = {
        index: {producer[name] for name in _reads(node) if name in producer}
        for index, node in enumerate(nodes)
    }
    order = list(TopologicalSorter(needs).static_order())
    del graph.node[:]
    graph.node.extend(nodes[index] for index in order)


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """What a node reads; a branch or a loop body may read any tensor by its name."""
    yield from node.input
    for graph in inner_graphs(node):
        for inner in all_nodes(graph):
            yield from inner.input


def _parse(path: Path) -> tuple[onnx.ModelProto, hashlib._Hash]:
    require_regular(path, ModelError, "file", MOST_BYTES)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"file must be readable: {error.strerror} ('{path}')") from None
    if not data:
        raise ModelError(f"file must be an ONNX model, not an empty file ('{path}')")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError:
        # Every ONNX file begins with its IR version, field 1.
        if data[0] == 0x08 and data[1:2] < b"\x20":
            raise ModelError(
                f"file must be a whole ONNX model, not a truncated or damaged one ('{path}'); "
                "export or copy it again"
            ) from None
        raise ModelError(f"file must be an ONNX model, not something else ('{path}')") from None
    if not proto.HasField("graph") or not proto.opset_import:
        raise ModelError(f"file must be an ONNX model, not something else ('{path}')")
    if not proto.graph.node:
        raise ModelError(f"model must have at least one node, not none ('{path}')")
    return proto, hashlib.sha256(data)


def _opset(proto: onnx.ModelProto) -> int:
    versions = {entry.domain: entry.version for entry in proto.opset_import}
    return int(versions.get("", versions.get("ai.onnx", 0)))


def _check_opset(proto: onnx.ModelProto, file: str) -> None:
    """ONNX's own operators must be those of an opset that is known here."""
    opset, newest = _opset(proto), onnx.defs.onnx_opset_version()
    if not opset:
        raise ModelError(f"model must import the standard operator set ('{file}'); export it again")
    if opset > newest:
        raise ModelError(
            f"opset must be {newest} or earlier, not {opset} ('{file}'); "
            "export the model with an earlier opset or install a newer onnx"
        )


def _check_names(graph: onnx.GraphProto) -> bool:
    """Every tensor is defined once, every tensor read is defined, and no node waits for itself.

    Returns whether each node comes after those that it reads from.
    """
    titles = [_title(node, index) for index, node in enumerate(graph.node)]
    initial = [t.name for t in graph.initializer] + [
        t.values.name for t in graph.sparse_initializer
    ]
    if graph.sparse_initializer:
        raise ModelError(f"initializer '{initial[-1]}' must be dense, not sparse; export it dense")
    _check_unique("initializer", initial)
    _check_unique("graph input", [value.name for value in graph.input])
    producer: dict[str, int] = {}
    given = set(initial) | {value.name for value in graph.input}
    for index, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in producer or name in given:
                raise ModelError(
                    f"tensor '{name}' must be defined once, not again (node '{titles[index]}')"
                )
            producer[name] = index
    for index, node in enumerate(graph.node):
        for name in filter(None, node.input):
            if name not in producer and name not in given:
                raise ModelError(
                    f"input '{name}' must be an initializer, a graph input or some node's output, "
                    f"and is none of them (node '{titles[index]}'); export the model again"
                )
    for value in graph.output:
        if value.name not in producer and value.name not in given:
            raise ModelError(f"graph output '{value.name}' must be computed by some node")
    return _check_acyclic(graph, producer, titles)


def _check_unique(what: str, names: list[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise ModelError(f"{what} '{name}' must be defined once, not {count} times")


def _check_acyclic(graph: onnx.GraphProto, producer: dict[str, int], titles: list[str]) -> bool:
    needs = {
        index: {producer[name] for name in node.input if name in producer}
        for index, node in enumerate(graph.node)
    }
    if all(before < index for index, wanted in needs.items() for before in wanted):
        return True
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        circle = " -> ".join(f"'{titles[index]}'" for index in reversed(error.args[1]))
        raise ModelError(f"graph must have no cycle, not {circle}; export it again") from None
    return False


def _title(node: onnx.NodeProto, index: int) -> str:
    return node.name or f"{node.op_type}_{index}"


def _deserialize(proto: onnx.ModelProto, path: Path) -> ir.Model:
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)
    try:
        model = ir.serde.deserialize_model(proto)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(f"model must follow the ONNX format: {reason} ('{path}')") from error
    ir.external_data.set_base_dir(model.graph, path.parent)
    return model


def _check_external_files(model: ir.Model, folder: Path) -> None:
    """The files of tensors kept outside the model must be there, whole, inside its folder."""
    for tensor in _external_tensors(model):
        file = Path(tensor.path)
        where = f"(tensor '{tensor.name}')"
        if not file.resolve().is_relative_to(folder.resolve()):
            raise ModelError(
                f"external data must lie in the model's folder, not at '{tensor.location}' {where}"
            )
        if file.exists():
            require_regular(file, ModelError, "external data file")
        if not file.is_file():
            raise ModelError(
                f"external data file '{tensor.location}' must lie beside the model, and is missing "
                f"{where}; copy it there"
            )
        end = (tensor.offset or 0) + (tensor.length or tensor.nbytes)
        if file.stat().st_size < end:
            raise ModelError(
                f"external data file '{tensor.location}' must have {end} bytes, "
                f"not {file.stat().st_size} {where}; copy it again"
            )


def _external_tensors(model: ir.Model) -> Iterator[ir.ExternalTensor]:
    for value in model.graph.initializers.values():
        if isinstance(value.const_value, ir.ExternalTensor):
            yield value.const_value
