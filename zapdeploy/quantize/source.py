"""Reads a float ONNX file and brings it into the shape that quantization starts from."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, numpy_helper

from zapdeploy.errors import ModelError
from zapdeploy.onnxruntime_sessions import Purpose, open_session, serialized
from zapdeploy.quantize.rewrite import hoist_activations, split_products
from zapdeploy.simplify import InputShapes, lengths_of, simplify
from zapdeploy.simplify.onnx_operators import CONTROL_FLOW, INTEGER_PRODUCTS, QUANTIZERS
from zapdeploy.simplify.soundness import check_sound
from zapdeploy.simplify.weights import is_partly_quantized, without_quantizers

QUANTIZED_OPERATORS = QUANTIZERS | INTEGER_PRODUCTS | {"QGemm", "Quant", "BipolarQuant"}
FILE_LIMIT_BYTES = 2**31
# Initializers under this size stay in place while the opset is raised: they may be shapes or axes.
SMALL_TENSOR_ELEMENTS = 1024


def read_prepared(
    path: Path,
    opset: int,
    shapes: InputShapes | None = None,
    samples: Mapping[str, tuple[int, ...]] | None = None,
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """The float network of `path`, simplified and at `opset` or later, and notes on what changed.

    ONNX Runtime's basic optimizations fold BatchNorm into convolutions, constants into
    initializers and MatMul + Add into Gemm, and drop Identity and Dropout. Activations move to
    the layers that can absorb them. `samples`: shapes of sample inputs, for lengths left open.
    """
    source, replaced = check_source(path)
    found = lengths_of(source.graph, shapes or InputShapes(), samples or {})
    simple = simplify(source, found, keep_batch=True)
    _check_left(simple.model, path)
    content, notes = serialized(simple.model), simple.notes
    del source, simple  # ONNX Runtime holds large weights twice beside them
    model = raise_opset(_optimized(content, path), opset)
    split_products(model)
    hoist_activations(model)
    return model, (*replaced, *notes)


def check_source(path: Path) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """The file's network in float, and notes. Raises ModelError unless some of it is in float.

    Weights that are kept as integers become real numbers again. So do activations where only a part
    of the products was quantized: all of it is quantized anew.
    """
    if not path.is_file():
        raise ModelError(f"model must be a file, not missing ({path}); check the path")
    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise ModelError(
            f"model must be an ONNX file, not unreadable ({path}); export it again"
        ) from error
    check_sound(model)
    _check_data(model)
    if not model.graph.node:
        raise ModelError(f"model must have at least one node, not none ({path}); export it again")
    notes: tuple[str, ...] = ()
    if is_partly_quantized(model.graph) and without_quantizers(model):
        notes = ("the file's own quantizers are replaced: they left some products in float",)
    for node in model.graph.node:
        if node.op_type in QUANTIZED_OPERATORS or node.op_type.startswith("QLinear"):
            raise ModelError(
                f"model must be in float, not already quantized (node {node.name!r}, "
                f"{node.op_type}); give the float ONNX file that it was made from"
            )
    return model, notes


def _check_data(model: onnx.ModelProto) -> None:
    """Raise ModelError for an initializer whose data are not of its shape."""
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            continue
        try:
            numpy_helper.to_array(tensor)
        except Exception as error:  # onnx raises errors of several types
            raise ModelError(
                f"initializer '{tensor.name}' must hold data of its type and its shape "
                f"{list(tensor.dims)}, not others: {error}; export the model again"
            ) from None


def _check_left(model: onnx.ModelProto, path: Path) -> None:
    """Raise ModelError for control flow that is decided at run time, with what would settle it."""
    left = [node for node in model.graph.node if node.op_type in CONTROL_FLOW]
    if not left:
        return
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [v for v in model.graph.input if v.name not in constants]
    scalars = [v.name for v in inputs if not v.type.tensor_type.shape.dim]
    names = scalars or [v.name for v in inputs]
    options = " ".join(f"--constant {name}=VALUE" for name in names[:4])
    raise ModelError(
        f"what a network does must be known before it runs, not be decided by its inputs "
        f"(node '{left[0].name}', {left[0].op_type}); give {options} for what decides it, or "
        f"export the model without it ({path})"
    )


def _optimized(model: bytes, path: Path) -> onnx.ModelProto:
    """The model after ONNX Runtime's basic optimizations, which keep to standard operators."""
    with tempfile.TemporaryDirectory() as folder:
        simplified = Path(folder, "simplified.onnx")
        open_session(model, Purpose.SIMPLIFY, folder=path.parent, optimized=simplified, name=path)
        return onnx.load(simplified)


def standard_opset(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that the model uses."""
    versions = (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    return max(versions, default=1)


def raise_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The model at `opset`, or unchanged if it is there already.

    Large weights sit out the conversion: the converter copies what it is given several times.
    """
    current = standard_opset(model)
    if current >= opset:
        return model
    from onnx import version_converter

    held = _take_out_weights(model)
    try:
        converted = version_converter.convert_version(model, opset)
    except (RuntimeError, ValueError, version_converter.ConvertError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"model must be convertible from opset {current} to {opset}, not refused: {reason}; "
            f"export it at opset {opset}"
        ) from error
    _put_back_weights(converted, held)
    _hoist_constants(converted)
    return converted


def _take_out_weights(model: onnx.ModelProto) -> list[TensorProto]:
    """Turn large initializers into graph inputs of the same name and type; returns them."""
    graph = model.graph
    tensors = list(graph.initializer)  # they outlive their removal from the graph
    held = [tensor for tensor in tensors if math.prod(tensor.dims) > SMALL_TENSOR_ELEMENTS]
    del graph.initializer[:]
    graph.initializer.extend(t for t in tensors if math.prod(t.dims) <= SMALL_TENSOR_ELEMENTS)
    for tensor in held:
        value = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        graph.input.append(value)
    return held


def _put_back_weights(model: onnx.ModelProto, held: list[TensorProto]) -> None:
    names = {tensor.name for tensor in held}
    inputs = [value for value in model.graph.input if value.name not in names]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.graph.initializer.extend(held)


def _hoist_constants(model: onnx.ModelProto) -> None:
    """Turn Constant nodes, which the converter adds for new inputs, into initializers."""
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        if node.op_type != "Constant" or node.attribute[0].name != "value":
            model.graph.node.append(node)
            continue
        tensor = TensorProto()
        tensor.CopyFrom(node.attribute[0].t)
        tensor.name = node.output[0]
        model.graph.initializer.append(tensor)
