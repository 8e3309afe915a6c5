"""What a benchmark must know of an ONNX file, and the same file at another batch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zapdeploy.benchmarks.models.activations import FLOAT_BYTES, peak_activation_bytes
from zapdeploy.errors import ModelError

if TYPE_CHECKING:
    import onnx

_BITS = {"INT2": 2, "UINT2": 2, "INT4": 4, "UINT4": 4, "INT8": 8, "UINT8": 8}


@dataclass(frozen=True)
class ModelFacts:
    """precision: "fp32", "int8", "int4" or "int2", that of most weights.

    activations: "float", "unsigned", "signed" or "mixed". batch: the file's own, None where open.
    input_elements, output_elements: per frame. weight_bytes: of all initializers.
    activation_bytes: the most that values of one frame take at once, as far as shapes are known.
    """

    precision: str
    activations: str
    batch: int | None
    input_elements: int
    output_elements: int
    weight_bytes: int
    activation_bytes: int = 0

    @property
    def transfer_bytes(self) -> int:
        """Float inputs and outputs of one frame."""
        return FLOAT_BYTES * (self.input_elements + self.output_elements)


def model_facts(path: Path) -> ModelFacts:
    """Read the facts of an ONNX file, once as long as it is not written again. Raises ModelError
    when it is none.
    """
    try:
        state = path.stat()
    except OSError:
        return _facts_of(path)  # says what is wrong
    return _known_facts(path.absolute(), state.st_mtime_ns, state.st_size, state.st_ino)


@lru_cache(maxsize=64)
def _known_facts(path: Path, *state: int) -> ModelFacts:
    return _facts_of(path)


def _facts_of(path: Path) -> ModelFacts:
    model = load_model(path)
    graph = model.graph
    inputs = _network_inputs(graph)
    batch = _batch(inputs[0]) if inputs else None
    return ModelFacts(
        precision=_precision(model),
        activations=_activations(graph),
        batch=batch,
        input_elements=sum(_frame_elements(value) for value in inputs),
        output_elements=sum(_frame_elements(value) for value in graph.output),
        weight_bytes=sum(_tensor_bytes(tensor) for tensor in graph.initializer),
        activation_bytes=peak_activation_bytes(model) // (batch or 1),
    )


def input_shape(path: Path) -> tuple[int, ...]:
    """Of the first input, batch included; 0 for an open dimension. Raises ModelError."""
    inputs = _network_inputs(load_model(path).graph)
    return tuple(d.dim_value for d in inputs[0].type.tensor_type.shape.dim) if inputs else ()


def at_batch(path: Path, batch: int) -> bytes:
    """The same network, quantization parameters and all, with another first dimension throughout.

    Raises ModelError where the result would not fit one protobuf message.
    """
    model = load_model(path)
    for value in (*_network_inputs(model.graph), *model.graph.output):
        dimensions = value.type.tensor_type.shape.dim
        if dimensions:
            dimensions[0].ClearField("dim_param")
            dimensions[0].dim_value = batch
    del model.graph.value_info[:]
    try:
        content: bytes = model.SerializeToString()
    except ValueError as error:
        raise ModelError(
            f"model must be under 2 GiB to be run at batch {batch}, not larger ({path}); "
            "export it at that batch"
        ) from error
    return content


def load_model(path: Path) -> onnx.ModelProto:
    """Raises ModelError unless `path` is an ONNX file with a network in it."""
    import onnx

    if not path.is_file():
        raise ModelError(f"model must be a file, not missing ({path}); check the path")
    try:
        model = onnx.load(path, format="protobuf")
    except Exception as error:  # protobuf's DecodeError, or a missing file of external data
        raise ModelError(
            f"model must be an ONNX file, not unreadable ({path}); export it again"
        ) from error
    if not model.graph.node:
        raise ModelError(f"model must have at least one node, not none ({path}); export it again")
    return model


def _network_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    constants = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in constants]


def _batch(value: onnx.ValueInfoProto) -> int | None:
    dimensions = value.type.tensor_type.shape.dim
    if not dimensions:
        return 1
    size: int = dimensions[0].dim_value
    return size or None


def _frame_elements(value: onnx.ValueInfoProto) -> int:
    dimensions = value.type.tensor_type.shape.dim
    sizes: list[int] = [size.dim_value or 1 for size in dimensions[1:]]
    return math.prod(sizes)


def _tensor_bytes(tensor: onnx.TensorProto) -> int:
    import onnx

    item: int = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    sizes: list[int] = list(tensor.dims)
    return math.prod(sizes) * item


def _precision(model: onnx.ModelProto) -> str:
    """By the type that most weights have; low bits held in 8-bit tensors go by their values."""
    import onnx

    elements: Counter[str] = Counter()
    for tensor in model.graph.initializer:
        name = onnx.TensorProto.DataType.Name(tensor.data_type)
        if len(tensor.dims) < 2 or (name not in _BITS and name != "FLOAT"):
            continue
        precision = "fp32" if name == "FLOAT" else f"int{_used_bits(tensor, _BITS[name])}"
        elements[precision] += math.prod(tensor.dims)
    if not elements:
        return "fp32"
    return elements.most_common(1)[0][0]


def _used_bits(tensor: onnx.TensorProto, stored: int) -> int:
    if stored < 8:
        return stored
    from onnx import numpy_helper

    values: Any = numpy_helper.to_array(tensor)
    for bits in (2, 4):
        if -(2 ** (bits - 1)) <= values.min() and values.max() < 2 ** (bits - 1):
            return bits
    return stored


def _activations(graph: onnx.GraphProto) -> str:
    """By the zero points of the nodes that quantize: they carry the type."""
    import onnx

    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    names = [onnx.TensorProto.DataType.Name(types[name]) for name in _zero_points(graph, types)]
    if not names:
        return "float"
    kinds = {"unsigned" if name.startswith("UINT") else "signed" for name in names}
    return kinds.pop() if len(kinds) == 1 else "mixed"


def _zero_points(graph: onnx.GraphProto, known: dict[str, int]) -> Iterator[str]:
    for node in graph.node:
        if node.op_type == "QuantizeLinear" and len(node.input) > 2 and node.input[2] in known:
            yield node.input[2]
