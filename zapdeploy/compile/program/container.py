"""The .zap file: a Program on disk. Data only; nothing in it is ever executed.

Layout (little endian):

    0   8 bytes   magic "ZAPDEPLY"
    8   uint32    format version, 1
    12  uint32    0
    16  32 bytes  SHA-256 of everything from byte 48 on: the program's digest
    48  uint64    length of the header in bytes
    56  header    JSON, UTF-8, keys sorted: graph, layers, memory plan, target, options, version
    ..  zeros     up to a multiple of 64
    ..  arrays    each at a multiple of 64 from the start of the file, in the order of the header

Integers narrower than 8 bits are packed, the first element in the lowest bits, two or four to a
byte; all other arrays lie as they are and are memory-mapped. The same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import operator
import struct
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from zapdeploy.compile.graph import Array, ElementType, Graph, Node, Quantization, Value, verify
from zapdeploy.compile.program.program import LayerProgram, Program
from zapdeploy.errors import ProgramError, ZapdeployError
from zapdeploy.files import atomic_write, require_regular
from zapdeploy.small_integers import pack, unpack
from zapdeploy.typed import typed

MAGIC = b"ZAPDEPLY"
FORMAT_VERSION = 1
ALIGNMENT = 64
_PREFIX = struct.Struct("<8sII32sQ")
_HASHED_FROM = 48
_Nodes = list[tuple[str, str, tuple[str, ...], tuple[str, ...], dict[str, Any], tuple[str, ...]]]
_INLINE = 4  # arrays of up to this many elements stand in the header


def save_program(program: Program, path: Path) -> Program:
    """Write the file whole or not at all; returns the program with its digest."""
    chunks, digest = encode_program(program)
    with atomic_write(path) as file:
        for chunk in chunks:
            file.write(chunk)
    return replace(program, digest=digest)


def program_digest(program: Program) -> str:
    """SHA-256 of what the file would hold: graph, target, options, version and plan."""
    return encode_program(program)[1]


def load_program(path: Path) -> Program:
    """Read a file back. Raises ProgramError when a single bit of it is not as it was written."""
    return decode_program(mapped(path), path)


# What a header of other types or numbers than ours runs into.
_UNFIT = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError),
    *(TypeError, ValueError),
)


def mapped(path: Path) -> memoryview:
    """A file's bytes, read when they are looked at."""
    require_regular(path, ProgramError, "program")
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the file is empty"
        raise ProgramError(f"program '{path}' must be readable: {reason}") from None


def decode_program(raw: memoryview, path: Path, *, planned: bool = True) -> Program:
    """The Program in these bytes, all of them; `path` is for messages. Not `planned`: a network
    that has no layers of its own, since others hold its parts.
    """
    header, digest = _read_header(raw, path)
    try:
        return _decode(header, raw, digest, planned)
    except ZapdeployError:
        raise
    except _UNFIT as error:
        raise ProgramError(
            f"program '{path}' has an incomplete header: {error}; compile the model again"
        ) from None


def encode_program(program: Program) -> tuple[list[bytes | memoryview], str]:
    """The bytes of the file, in pieces, and the program's digest."""
    arrays: list[Array] = []
    header = {
        "model": program.model,
        "version": program.version,
        "origin": asdict(program.origin),
        "options": asdict(program.options),
        "target": program.target_toml,
        "graph": _graph_json(program.graph, arrays),
        "layers": [asdict(layer) for layer in program.layers],
        "memory": asdict(program.memory),
        "unfit": None if program.violation is None else asdict(program.violation),
        "output_cycles": program.output_cycles,
        "boundary_counts": asdict(program.boundary_counts),
        "mapping_gap": program.mapping_gap,
        "arrays": [{"dtype": a.dtype.str, "shape": list(a.shape)} for a in arrays],
    }
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    body: list[bytes | memoryview] = [struct.pack("<Q", len(text)), text]
    at = _HASHED_FROM + 8 + len(text)
    for array in arrays:
        body.append(bytes(-at % ALIGNMENT))
        at += -at % ALIGNMENT + array.nbytes
        body.append(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    digest = hashlib.sha256()
    for chunk in body:
        digest.update(chunk)
    prefix = struct.pack("<8sII32s", MAGIC, FORMAT_VERSION, 0, digest.digest())
    return [prefix, *body], digest.hexdigest()


def _read_header(raw: memoryview, path: Path) -> tuple[dict[str, Any], str]:
    damaged = f"program '{path}' is damaged; compile the model again"
    if len(raw) < _PREFIX.size or bytes(raw[:8]) != MAGIC:
        raise ProgramError(
            f"program '{path}' must be a .zap file; make one with 'zapdeploy compile'"
        )
    _, version, zero, digest, length = _PREFIX.unpack(raw[: _PREFIX.size])
    if version != FORMAT_VERSION:
        raise ProgramError(
            f"program '{path}' must have format version {FORMAT_VERSION}, not {version};"
            " compile the model again"
        )
    if zero != 0 or hashlib.sha256(raw[_HASHED_FROM:]).digest() != digest:
        raise ProgramError(damaged)
    start = _PREFIX.size
    try:
        header = json.loads(bytes(raw[start : start + length]))
    except ValueError:
        raise ProgramError(damaged) from None
    if not isinstance(header, dict):
        raise ProgramError(damaged)
    return {**header, "first_array": start + length}, digest.hex()


def _decode(header: dict[str, Any], raw: memoryview, digest: str, planned: bool) -> Program:
    from pydantic import TypeAdapter

    from zapdeploy.compile.layers import group_layers
    from zapdeploy.compile.mapping.memory import CapacityViolation, MemoryPlan
    from zapdeploy.compile.mapping.pricing import Counts
    from zapdeploy.compile.program.program import Options, Origin
    from zapdeploy.hardware_targets import parse_target

    arrays = list(_read_arrays(header["arrays"], raw, header["first_array"]))

    def read(kind: Any, key: str) -> Any:
        return TypeAdapter(kind).validate_python(header[key])

    graph = _graph_from_json(header["graph"], arrays)
    verify(graph)
    _check_shapes(graph)
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
        violation=read(CapacityViolation | None, "unfit"),
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


def _graph_json(graph: Graph, arrays: list[Array]) -> dict[str, Any]:
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
                {key: _attribute_json(value) for key, value in n.attributes.items()},
                list(n.sources),
            ]
            for n in graph.nodes
        ],
        "values": [value_json(graph.values[name]) for name in sorted(graph.values)],
    }


def _graph_from_json(raw: dict[str, Any], arrays: list[Array]) -> Graph:
    def get(item: Any, dtype: Any) -> Array:
        if isinstance(item, dict):
            return arrays[item["array"]]
        return np.asarray(item, dtype)

    def value_from(item: dict[str, Any]) -> Value:
        shape, element = tuple(map(operator.index, item["shape"])), _element(*item["element"])
        quantization, data = item["quantization"], item["data"]
        if quantization is not None:
            low, high = quantization["range"]
            quantization = Quantization(
                get(quantization["scale"], np.float32),
                get(quantization["zero_point"], np.int32),
                operator.index(low),
                operator.index(high),
                _axis(quantization["axis"], len(shape)),
            )
            _check_parameters(quantization, shape)
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


def _element(kind: str, bits: int) -> ElementType:
    if kind not in ("int", "uint", "float", "bool") or not 1 <= operator.index(bits) <= 64:
        raise ValueError(f"no element type {kind!r} of {bits!r} bits")
    return ElementType(kind, bits)


def _axis(axis: int | None, rank: int) -> int | None:
    if axis is not None and not 0 <= operator.index(axis) < rank:
        raise ValueError(f"no axis {axis!r} of {rank} dimensions")
    return axis


def _check_parameters(meaning: Quantization, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless scales and zero points go with a tensor of this shape."""
    along = 1 if meaning.axis is None else shape[meaning.axis]
    for which in (meaning.scale, meaning.zero_point):
        fits = which.size in (1, along) if which.ndim == 1 else which.ndim == len(shape)
        if not (fits and which.size):
            raise ValueError(f"scales of shape {which.shape} for a tensor of shape {shape}")


def _attribute_json(value: Any) -> Any:
    """JSON has no infinity, which a Clip without a bound has."""
    if isinstance(value, tuple):
        return [_attribute_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    return value


def _attribute(raw: Any) -> Any:
    """The inverse of `_attribute_json`."""
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
