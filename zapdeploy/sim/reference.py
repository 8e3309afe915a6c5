"""The outside judge: what ONNX Runtime computes for the same file, tensor by tensor.

Its integer kernels judge where they load and mean what ONNX says; where ONNX Runtime refuses the
optimized network, the one without optimizations judges instead, and `Reference.note` says why. A
single layer can be asked for as ONNX defines it: `Reference.definition`.

With activations of 8 bits and more and one scale each, ONNX Runtime's own optimizations put integer
kernels in the place of dequantize, operator, quantize. With others its optimizations are switched
off, and it computes between the quantizers in float32. Its operator is recorded for every tensor.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zapdeploy.compile.graph import Array, Graph, Value
from zapdeploy.compile.ops.base import Unit, operator
from zapdeploy.errors import DataError, ModelError
from zapdeploy.onnxruntime_sessions import Purpose, open_session, reason, run_time_errors
from zapdeploy.sim.qonnx_executor import KIND as QONNX
from zapdeploy.sim.qonnx_executor import QonnxExecutor, codes, is_qonnx

if TYPE_CHECKING:
    import onnx

INTEGER = "onnxruntime integer kernels"
FLOAT = "onnxruntime float, optimizations off"
_SMALL = 1024  # elements: ONNX Runtime wants shapes and the like inside the model
# What ONNX Runtime may put between a kernel and its tensor: its rewriting, not a fact about them.
_TRANSPARENT = ("Transpose", "Reshape", "Clip")
_JOINING = ("Concat", "QLinearConcat", "Gather", "Slice", "DequantizeLinear")
_EXPOSED = ".__exposed"
_NARROW = ("INT4", "UINT4", "INT2", "UINT2")


@dataclass(frozen=True, eq=False)
class Reference:
    """`values`: the tensors that both have, by name. `kernels`: which operator made each.

    `definition`: a tensor as ONNX defines it, from the reference's own tensors before it; None
    where that cannot be run. `note`: why these kernels judge, where others were wanted.
    """

    kind: str
    values: Mapping[str, Array]
    kernels: Mapping[str, str]
    definition: Callable[[str], Array | None] = lambda name: None
    note: str = ""


def reference(graph: Graph, model_path: Path, inputs: Mapping[str, Array]) -> Reference:
    """Run the file's network and collect every tensor that the graph has under the same name."""
    if not has_integer_kernels(graph):
        return _reference(graph, model_path, inputs, FLOAT)
    try:
        return _reference(graph, model_path, inputs, INTEGER)
    except ModelError as error:
        plain = _reference(graph, model_path, inputs, FLOAT)
        return replace(plain, note=f"its integer kernels do not run: {error}")


def _reference(graph: Graph, model_path: Path, inputs: Mapping[str, Array], kind: str) -> Reference:
    import onnx

    model = _load(model_path)
    if is_qonnx(model):
        return _by_qonnx(graph, model, model_path, inputs)
    made = {name for node in model.graph.node for name in node.output}
    wanted = [name for node in graph.nodes for name in node.outputs if name in made]
    computed = [name for name in graph.outputs if not graph.values[name].is_constant]
    if missing := [name for name in computed if name not in wanted]:
        raise ModelError(
            f"file must be the one that the graph was made from, and has no output '{missing[0]}' "
            f"('{model_path}')"
        )
    exposed = expose(model, wanted, cast=kind == FLOAT)
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx" if kind == INTEGER else None
        purpose = Purpose.PLAIN if optimized is None else Purpose.INTEGER
        session = open_session(model, purpose, folder=model_path.parent, optimized=optimized)
        source = model if optimized is None else onnx.load(optimized, load_external_data=False)
        kernels = kernels_of(source.graph, wanted, _of_several(graph, made))
        del model, source
        values = _run(session, graph, {name: exposed[name] for name in wanted}, inputs)

    def definition(name: str) -> Array | None:
        return one_layer(_load(model_path), model_path.parent, name, {**values, **inputs})

    return Reference(kind, values, kernels, definition)


def _by_qonnx(
    graph: Graph, model: onnx.ModelProto, path: Path, inputs: Mapping[str, Array]
) -> Reference:
    """By the qonnx package's executor; codes, which it has none of, follow from its numbers."""
    session = QonnxExecutor(model, path.parent)
    names = [name for node in graph.nodes for name in node.outputs]
    made = {name: session.made(name, graph.values[name]) for name in names}
    exposed = {name: found for name, found in made.items() if found is not None}
    values = {
        name: codes(array, graph.values[name])
        for name, array in _run(session, graph, exposed, inputs).items()
    }
    kernels = {name: session.kernel(found) for name, found in exposed.items()}
    return Reference(QONNX, values, kernels)


def one_layer(
    model: onnx.ModelProto, folder: Path, name: str, known: Mapping[str, Array]
) -> Array | None:
    """A tensor from the known ones before it, as ONNX defines it: optimizations off.

    None where a tensor before it is not known, or ONNX Runtime does not run the piece.
    """
    from onnx import helper

    makers = {output: node for node in model.graph.node for output in node.output}
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes, inputs, used = _piece(name, makers, held, known)
    graph = helper.make_graph(
        nodes,
        "one layer",
        [
            helper.make_tensor_value_info(
                n, helper.np_dtype_to_tensor_dtype(known[n].dtype), known[n].shape
            )
            for n in inputs
        ],
        [helper.make_empty_tensor_value_info(name)],
        [held[n] for n in used],
    )
    piece = helper.make_model(
        graph,
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
        functions=model.functions,
    )
    try:
        session = open_session(piece, Purpose.PLAIN, folder=folder)
    except ModelError:
        return None
    try:
        found: Array = session.run([name], {n: known[n] for n in inputs})[0]
    except run_time_errors():
        return None
    return found


def _piece(
    name: str,
    makers: Mapping[str, onnx.NodeProto],
    held: Mapping[str, onnx.TensorProto],
    known: Mapping[str, Array],
) -> tuple[list[onnx.NodeProto], list[str], list[str]]:
    """Nodes between a tensor and the known ones before it, in order; these; the initializers."""
    nodes: dict[str, onnx.NodeProto] = {}
    inputs: dict[str, None] = {}
    used: dict[str, None] = {}
    waiting: list[tuple[str, bool]] = [(name, False)]
    while waiting:
        wanted, ready = waiting.pop()
        if ready:
            nodes.setdefault(makers[wanted].output[0], makers[wanted])
        elif wanted in held:
            used[wanted] = None
        elif wanted in known and wanted != name:
            inputs[wanted] = None
        elif wanted in makers and makers[wanted].output[0] not in nodes:
            waiting.append((wanted, True))
            waiting += [(n, False) for n in makers[wanted].input if n]
    return list(nodes.values()), list(inputs), list(used)


def _load(path: Path) -> onnx.ModelProto:
    """The model, with big external tensors left in their files for ONNX Runtime to read."""
    import onnx
    from google.protobuf.message import DecodeError
    from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
        for tensor in model.graph.initializer:
            if uses_external_data(tensor) and np.prod(tensor.dims) <= _SMALL:
                load_external_data_for_tensor(tensor, str(path.parent))
    except (OSError, ValueError, DecodeError) as error:
        raise ModelError(f"model must be readable as ONNX ('{path}'): {error}") from None
    return model


def has_integer_kernels(graph: Graph) -> bool:
    """Whether ONNX Runtime's integer kernels take all activations: 8 bits and more, one scale."""
    return all(
        value.element.bits >= 8 and value.quantization.is_uniform
        for value in graph.values.values()
        if value.quantization is not None and not value.is_constant
    )


def expose(model: onnx.ModelProto, names: Iterable[str], *, cast: bool) -> dict[str, str]:
    """Make tensors outputs of the model, in place; the names under which they come out.

    `cast`: through a Cast to one byte where the type has less, which NumPy does not know. Without
    it the tensor itself becomes an output, and the optimizations that make integer kernels still
    apply: they only refuse outputs in the middle, between dequantizer and quantizer.
    """
    from onnx import helper

    outputs = {value.name for value in model.graph.output}
    narrow = _narrow_types(model) if cast else {}
    found = {}
    for name in names:
        found[name] = name
        if name in narrow:
            found[name] = name + _EXPOSED
            kind = narrow[name]
            model.graph.node.append(helper.make_node("Cast", [name], [found[name]], to=kind))
        if found[name] not in outputs:
            model.graph.output.append(helper.make_empty_tensor_value_info(found[name]))
    return found


def _narrow_types(model: onnx.ModelProto) -> dict[str, int]:
    """Tensors with less than 8 bits, and the type of one byte that holds each."""
    from onnx import TensorProto, shape_inference

    inferred = shape_inference.infer_shapes(_without_weights(model))
    values = [*inferred.graph.value_info, *inferred.graph.output]
    names = {getattr(TensorProto, k): k for k in _NARROW if hasattr(TensorProto, k)}
    found: dict[str, int] = {}
    for value in values:
        kind = names.get(value.type.tensor_type.elem_type, "")
        if kind:
            found[value.name] = TensorProto.UINT8 if kind.startswith("U") else TensorProto.INT8
    return found


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with its big initializers as inputs: enough for types."""
    import onnx
    from onnx import helper

    light = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    light.graph.name = model.graph.name
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(model.graph.output)
    known = {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        if tensor.name not in known:
            info = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            light.graph.input.append(info)
    return light


def _of_several(graph: Graph, made: Collection[str]) -> frozenset[str]:
    """Views of products that the file does not have: it makes several, and puts them together."""
    producers = graph.producers()
    return frozenset(
        node.outputs[0]
        for node in graph.nodes
        if operator(node.op).unit is Unit.VIEW
        and node.inputs[0] not in made
        and (product := producers.get(node.inputs[0])) is not None
        and operator(product.op).unit is Unit.MATRIX
    )


def kernels_of(
    graph: onnx.GraphProto, names: Iterable[str], joined: Collection[str] = ()
) -> dict[str, str]:
    """The operator that makes each tensor, looking through changes of layout and narrowing clips;
    for those `joined` of several products, through what puts these together.

    For a quantizer after another operator, both: "Exp, QuantizeLinear".
    """
    producers = {output: node for node in graph.node for output in node.output}

    def kernel(name: str, transparent: tuple[str, ...]) -> str:
        node = producers.get(name)
        if node is None:
            return ""
        op = str(node.op_type)
        if op not in (*transparent, "QuantizeLinear"):
            return op
        # A QLinearConcat begins with the scale and the zero point of its result.
        before = kernel(node.input[2 if op == "QLinearConcat" else 0], transparent)
        if op == "DequantizeLinear":
            return before.removesuffix(", QuantizeLinear")
        if op == "QuantizeLinear" and before:
            return f"{before}, {op}"
        return before or op

    through = (*_TRANSPARENT, *_JOINING)
    return {name: kernel(name, through if name in joined else _TRANSPARENT) for name in names}


def _run(
    session: Any,
    graph: Graph,
    exposed: Mapping[str, str],
    inputs: Mapping[str, Array],
) -> dict[str, Array]:
    """The exposed tensors; a file with a fixed smaller batch is run several times."""
    names = list(exposed)
    try:
        parts = [
            session.run([exposed[name] for name in names], part)
            for part in _batches(session, graph, inputs)
        ]
    except run_time_errors() as error:
        raise ModelError(f"model must be one that ONNX Runtime runs: {reason(error)}") from None
    return {
        name: _joined([part[index] for part in parts], graph.values[name])
        for index, name in enumerate(names)
    }


def _batches(session: Any, graph: Graph, inputs: Mapping[str, Array]) -> list[dict[str, Any]]:
    """The inputs in the file's own types, cut along the first dimension to what it asks for."""
    inputs = {v.name: _typed(inputs[v.name], v.type) for v in session.get_inputs()}
    shapes = {value.name: value.shape for value in session.get_inputs()}
    fixed = [shapes[n][0] for n in graph.inputs if shapes.get(n) and isinstance(shapes[n][0], int)]
    whole = [len(inputs[n]) for n in graph.inputs if n in inputs and inputs[n].ndim]
    if not fixed or fixed[0] == whole[0]:
        return [dict(inputs)]
    if whole[0] % fixed[0]:
        raise DataError(
            f"batch must be a multiple of the file's {fixed[0]}, not {whole[0]}; "
            "compile for another batch"
        )
    return [
        {name: array[start : start + fixed[0]] for name, array in inputs.items()}
        for start in range(0, whole[0], fixed[0])
    ]


def _typed(array: Array, kind: str) -> Array:
    """Numbers in the floating type of ONNX Runtime's input: "tensor(double)" and the like."""
    floats = {"tensor(double)": np.float64, "tensor(float16)": np.float16}
    return array.astype(floats[kind]) if kind in floats else array


def _joined(parts: list[Array], value: Value) -> Array:
    """Parts of a batch as one array of the value's shape."""
    joined, shape = parts[0], value.shape
    if len(parts) > 1 and joined.ndim == len(shape) and joined.shape != shape:
        joined = np.concatenate(parts, axis=np.not_equal(joined.shape, shape).argmax())
    if joined.shape != shape:
        raise ModelError(
            f"'{value.name}' must have the same shape in the file and in the compiled graph, "
            f"not {list(joined.shape)} and {list(shape)}; compile this file again"
        )
    return joined
