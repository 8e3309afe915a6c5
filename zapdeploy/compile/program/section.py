"""A Program as bytes: a section of a .zap file. Data only; nothing in it is ever executed.

Layout (little endian), from the start of the section, which is at a multiple of 64 in its file:

    0   uint64    length of the header in bytes
    8   header    JSON, UTF-8, keys sorted: graph, layers, memory plan, target, options, version
    ..  zeros     up to a multiple of 64
    ..  arrays    each at a multiple of 64, in the order of the header

Integers narrower than 8 bits are packed, the first element in the lowest bits, two or four to a
byte; all other arrays lie as they are and are memory-mapped. The same input gives the same bytes,
whose SHA-256 is the program's digest.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from zapdeploy.compile.graph import Array, Graph, verify
from zapdeploy.compile.program.graph_document import check_parameters, graph_document, graph_of
from zapdeploy.compile.program.program import LayerProgram, Program
from zapdeploy.errors import ProgramError, ZapdeployError
from zapdeploy.typed import adapter

ALIGNMENT = 64
_LENGTH = struct.Struct("<Q")


# What a header of other types or numbers than ours runs into.
WRONG = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError),
    *(TypeError, ValueError),
)


def decode_program(raw: memoryview, digest: str, path: Path, *, planned: bool = True) -> Program:
    """The Program in these bytes, all of them. Raises ProgramError when they are others than those
    of the digest. `path` is for messages. Not `planned`: a network that has no layers of its own,
    since others hold its parts.
    """
    if hashlib.sha256(raw).hexdigest() != digest:
        raise damaged(path)
    header, first_array = _read_header(raw, path)
    try:
        return _decode(header, raw, first_array, digest, planned)
    except ZapdeployError:
        raise
    except WRONG as error:
        raise incomplete(path, error) from None


def damaged(path: Path) -> ProgramError:
    """What to say of bytes that are not as they were written."""
    return ProgramError(f"program '{path}' is damaged; compile the model again")


def incomplete(path: Path, error: Exception) -> ProgramError:
    """What to say of a header that lacks something, or has something else there."""
    return ProgramError(
        f"program '{path}' has an incomplete header: {error}; compile the model again"
    )


def encode_program(program: Program) -> tuple[list[bytes | memoryview], str]:
    """The bytes of the section, in pieces, and the program's digest."""
    arrays: list[Array] = []
    header = {
        "model": program.model,
        "version": program.version,
        "origin": asdict(program.origin),
        "options": asdict(program.options),
        "target": program.target_toml,
        "graph": graph_document(program.graph, arrays),
        "layers": [asdict(layer) for layer in program.layers],
        "memory": asdict(program.memory),
        "violation": None if program.violation is None else asdict(program.violation),
        "output_cycles": program.output_cycles,
        "boundary_counts": asdict(program.boundary_counts),
        "mapping_gap": program.mapping_gap,
        "arrays": [{"dtype": a.dtype.str, "shape": list(a.shape)} for a in arrays],
    }
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    body: list[bytes | memoryview] = [_LENGTH.pack(len(text)), text]
    at = _LENGTH.size + len(text)
    for array in arrays:
        body.append(bytes(-at % ALIGNMENT))
        at += -at % ALIGNMENT + array.nbytes
        body.append(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    digest = hashlib.sha256()
    for chunk in body:
        digest.update(chunk)
    return body, digest.hexdigest()


def _read_header(raw: memoryview, path: Path) -> tuple[dict[str, Any], int]:
    """What the header says, and where it ends."""
    try:
        (length,) = _LENGTH.unpack(raw[: _LENGTH.size])
        end = _LENGTH.size + length
        header = json.loads(bytes(raw[_LENGTH.size : end]))
    except (ValueError, struct.error):
        raise damaged(path) from None
    if not isinstance(header, dict):
        raise damaged(path)
    return header, end


def _decode(
    header: dict[str, Any], raw: memoryview, at: int, digest: str, planned: bool
) -> Program:
    from zapdeploy.compile.layers import group_layers
    from zapdeploy.compile.mapping.memory import CapacityViolation, MemoryPlan
    from zapdeploy.compile.mapping.pricing import Counts
    from zapdeploy.compile.program.program import Options, Origin
    from zapdeploy.hardware_targets import parse_target

    arrays = list(_read_arrays(header["arrays"], raw, at))

    def read(kind: Any, key: str) -> Any:
        return adapter(kind).validate_python(header[key])

    graph = graph_of(header["graph"], arrays)
    verify(graph)
    _check_shapes(graph)
    check_parameters(graph)
    layers = read(tuple[LayerProgram, ...], "layers")
    target = parse_target(header["target"], "target in the program")
    if len(layers) != (len(group_layers(graph)) if planned else 0):
        raise ValueError(f"{len(layers)} layers")
    for layer in layers:
        _check_layer(layer, graph)
        if layer.macs and not target.core.matrix_unit.macs_per_cycle(layer.bits):
            raise ValueError(f"products of {layer.bits} bits (layer '{layer.name}')")
    return Program(
        model=str(header["model"]),
        origin=read(Origin, "origin"),
        target=target,
        target_toml=header["target"],
        options=read(Options, "options"),
        graph=graph,
        layers=layers,
        memory=read(MemoryPlan, "memory"),
        violation=read(CapacityViolation | None, "violation"),
        output_cycles=read(int, "output_cycles"),
        boundary_counts=read(Counts, "boundary_counts"),
        mapping_gap=read(float, "mapping_gap"),
        version=str(header["version"]),
        digest=digest,
    )


def _check_shapes(graph: Graph) -> None:
    """Raise ProgramError unless every operator makes the shapes that the graph has."""
    from zapdeploy.compile import ops  # noqa: F401  (registers the operators)
    from zapdeploy.compile.ops import base

    for call in graph.calls():
        found = base.operator(call.node.op).infer(call)
        if found != tuple(value.shape for value in call.outputs):
            raise ProgramError(
                f"node '{call.node.name}' of the program must make "
                f"{[list(shape) for shape in found]}, not other shapes; compile the model again"
            )


def _check_layer(layer: LayerProgram, graph: Graph) -> None:
    """Raise ValueError unless the cut is one of the layer's output, and its times are times."""
    rank = len(graph.values[layer.output].shape)
    if len(layer.cut) != rank + 1 or sorted(layer.digits) != list(range(rank + 1)):
        raise ValueError(f"cut {layer.cut} of {rank} dimensions (layer '{layer.name}')")
    times = (*layer.unit_cycles.values(), layer.fill_cycles, layer.bound_cycles)
    if min(*times, *layer.cut) < 0 or not sum(times) or 0 in layer.cut:
        raise ValueError(f"cut {layer.cut} and cycles {times} (layer '{layer.name}')")


def _read_arrays(described: list[dict[str, Any]], raw: memoryview, at: int) -> Iterable[Array]:
    for item in described:
        at += -at % ALIGNMENT
        dtype, shape = np.dtype(item["dtype"]), tuple(int(n) for n in item["shape"])
        if dtype.hasobject:
            raise ProgramError("arrays of a program must hold numbers")
        count = int(np.prod(shape, dtype=np.int64))
        yield np.frombuffer(raw, dtype, count, at).reshape(shape)
        at += count * dtype.itemsize
