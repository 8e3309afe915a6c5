"""The walk over a graph's nodes: types are inferred, constants folded, operators expanded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, TypeProto, helper, numpy_helper

from zapdeploy.arrays import Array
from zapdeploy.errors import ModelError
from zapdeploy.simplify.onnx_operators import NEVER_FOLDED, SHAPES
from zapdeploy.simplify.registry import STANDARD, expansion_of
from zapdeploy.simplify.soundness import MOST_NODES

SMALL_ELEMENTS = 4096  # tensors up to this size are known by value
ORIGIN = "zapdeploy.from"  # metadata of a node that was put in the place of another: its name
PART_OF = "zapdeploy.part_of"  # metadata of a node that is a part of another operator: which


@dataclass
class Walk:
    """What is known so far of a graph's tensors, and the nodes of the new graph.

    `constants` holds the values of small tensors, `types` the element types and shapes of all whose
    shapes could be inferred.
    """

    opset: int
    imports: Sequence[onnx.OperatorSetIdProto]
    types: dict[str, TypeProto] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    nodes: list[NodeProto] = field(default_factory=list)
    folded: set[str] = field(default_factory=set)  # constants that no initializer holds yet
    taken: set[str] = field(default_factory=set)
    tensors: dict[str, TensorProto] = field(default_factory=dict)  # the file's own initializers

    def define(self, tensor: TensorProto) -> None:
        """An initializer of the file."""
        shape = tuple(tensor.dims)
        self.types[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, shape)
        self.tensors[tensor.name] = tensor
        external = tensor.data_location == TensorProto.EXTERNAL
        if prod(shape) <= SMALL_ELEMENTS and not external and _is_plain(tensor.data_type):
            self.constants[tensor.name] = numpy_helper.to_array(tensor)

    def visit(self, nodes: Iterable[NodeProto], origin: str = "") -> None:
        """Fold, expand or keep each node. `origin`: the node of the file that they stand for."""
        for node in nodes:
            if self._fold(node):
                continue
            place = Place(
                self, node, origin or node.name or (node.output[0] if node.output else "")
            )
            expansion = expansion_of(node)
            made = None if expansion is None else expansion(place)
            if made is not None:
                self.visit(made, place.origin)
                continue
            if origin:
                _note_origin(node, origin)
            self._infer(node)
            self.nodes.append(node)
            if len(self.nodes) > MOST_NODES:
                raise ModelError(
                    f"model must have at most {MOST_NODES:,} nodes, its loops and recurrent "
                    f"operators written out step by step, not more (node '{origin or node.name}'); "
                    "give a shorter sequence with --shape, or cut it into parts"
                )

    def fresh(self, wish: str) -> str:
        """A name that no tensor has."""
        name, count = wish, 1
        while name in self.taken:
            name, count = f"{wish}_{count}", count + 1
        self.taken.add(name)
        return name

    def shape(self, name: str) -> tuple[int | None, ...] | None:
        """Lengths, None where one is open; None for a tensor of unknown rank."""
        found = self.types.get(name)
        if found is None or not found.tensor_type.HasField("shape"):
            return None
        return tuple(
            d.dim_value if d.HasField("dim_value") else None for d in found.tensor_type.shape.dim
        )

    def set_constant(self, name: str, array: Array) -> None:
        """A tensor whose value is found out now."""
        self.constants[name] = array
        self.types[name] = helper.make_tensor_type_proto(
            helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        self.folded.add(name)

    def _fold(self, node: NodeProto) -> bool:
        """Find the node's outputs as constants where that is what they are."""
        if node.domain not in (STANDARD, "ai.onnx") or node.op_type in NEVER_FOLDED:
            return False
        if node.op_type in SHAPES:
            return self._fold_shape(node)
        names = [name for name in node.input if name]
        if any(name not in self.constants for name in names) or node.op_type.startswith("QLinear"):
            return False
        results = _evaluated(node, {n: self.constants[n] for n in names}, self.opset)
        if results is None:
            return False
        for name, array in results.items():
            self.set_constant(name, array)
        return True

    def _fold_shape(self, node: NodeProto) -> bool:
        shape = self.shape(node.input[0])
        if shape is None or None in shape:
            return False
        lengths = np.asarray(shape, np.int64)
        if node.op_type == "Size":
            self.set_constant(node.output[0], np.asarray(lengths.prod()))
            return True
        bounds = {a.name: a.i for a in node.attribute}
        part = lengths[bounds.get("start", 0) : bounds.get("end", len(lengths))]
        self.set_constant(node.output[0], part)
        return True

    def _infer(self, node: NodeProto) -> None:
        """Types of the outputs by ONNX's own rules, where they can be found."""
        schema = _schema(node.op_type, node.domain, self.opset)
        if schema is None:
            _same_as_first(self, node)
            return
        known = [name for name in node.input if name in self.types]
        if len(known) < sum(bool(name) for name in node.input):
            return
        data = {
            n: numpy_helper.from_array(self.constants[n], n) for n in known if n in self.constants
        }
        try:
            found = onnx.shape_inference.infer_node_outputs(
                schema, node, {n: self.types[n] for n in known}, data, opset_imports=[*self.imports]
            )
        except Exception:  # an output without a type; what needs the type says so
            return
        self.types.update({name: kind for name, kind in found.items() if name})


@dataclass(frozen=True)
class Place:
    """A node with what is known of its inputs, and the means to write others in its place."""

    walk: Walk
    node: NodeProto
    origin: str

    @property
    def name(self) -> str:
        return self.node.name or self.origin

    @property
    def attributes(self) -> dict[str, Any]:
        found = {a.name: helper.get_attribute_value(a) for a in self.node.attribute}
        return {k: v.decode() if isinstance(v, bytes) else v for k, v in found.items()}

    def input(self, index: int) -> str:
        """The name of an input, empty when it is absent."""
        return str(self.node.input[index]) if index < len(self.node.input) else ""

    def output(self, index: int) -> str:
        return str(self.node.output[index]) if index < len(self.node.output) else ""

    def shape(self, name: str) -> tuple[int | None, ...]:
        """Of a tensor of known rank. Raises ModelError for another."""
        found = self.walk.shape(name)
        if found is None:
            raise self.error(f"'{name}' must have a known shape")
        return found

    def length(self, name: str, axis: int) -> int:
        """The length of a dimension, which must be known."""
        shape = self.shape(name)
        if axis >= len(shape):
            raise self.error(f"'{name}' must have at least {axis + 1} dimensions, not {len(shape)}")
        found = shape[axis]
        if found is None:
            raise self.error(
                f"dimension {axis} of '{name}' must have a length; give --shape for the inputs"
            )
        return found

    def value(self, name: str) -> Array | None:
        """A small constant's value."""
        return self.walk.constants.get(name)

    def weights(self, name: str) -> Array:
        """A constant's value, however large; ModelError for what is none or lies elsewhere."""
        if name in self.walk.constants:
            return self.walk.constants[name]
        tensor = self.walk.tensors.get(name)
        if tensor is None or tensor.data_location == TensorProto.EXTERNAL:
            raise self.error(f"'{name}' must be a constant inside the file; save it in one file")
        return numpy_helper.to_array(tensor)

    def error(self, text: str) -> ModelError:
        return ModelError(f"{text} (node '{self.name}', {self.node.op_type})")

    def writer(self) -> Writer:
        return Writer(self.walk, self.name, self.node.op_type)


@dataclass
class Writer:
    """Collects nodes; every method returns the name of the tensor it makes.

    `of`: the operator that they stand for. Nodes of another one have `PART_OF` in their metadata:
    a runtime has no fused kernels for them.
    """

    walk: Walk
    prefix: str
    of: str
    nodes: list[NodeProto] = field(default_factory=list)

    def node(
        self, op: str, *inputs: str, output: str = "", domain: str = "", **attributes: Any
    ) -> str:
        """One node with one output."""
        return self.nodes_of(op, inputs, (output,), domain=domain, **attributes)[0]

    def nodes_of(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        domain: str = "",
        **attributes: Any,
    ) -> list[str]:
        """One node; an output without a name gets a fresh one."""
        name = self.walk.fresh(f"{self.prefix}.{op}")
        made = [
            out or self.walk.fresh(f"{name}.{i}" if i else name) for i, out in enumerate(outputs)
        ]
        made_node = helper.make_node(
            op, list(inputs), made, name, domain=domain or None, **attributes
        )
        if op != self.of:
            made_node.metadata_props.add(key=PART_OF, value=self.of)
        self.nodes.append(made_node)
        return made

    def constant(self, wish: str, value: Array | Sequence[int] | float) -> str:
        """Numbers: float32 for floats, int64 for whole ones."""
        array = np.asarray(value)
        if array.dtype.kind == "f":
            array = array.astype(np.float32)
        elif array.dtype.kind in "iu" and not isinstance(value, np.ndarray):
            array = array.astype(np.int64)
        name = self.walk.fresh(f"{self.prefix}.{wish}")
        self.walk.set_constant(name, array)
        return name

    def slice(self, x: str, start: int, stop: int, axis: int) -> str:
        bounds = [self.constant("bound", [v]) for v in (start, stop, axis)]
        return self.node("Slice", x, *bounds)

    def reshape(self, x: str, shape: Sequence[int], output: str = "") -> str:
        return self.node("Reshape", x, self.constant("shape", shape), output=output)

    def squeeze(self, x: str, *axes: int, output: str = "") -> str:
        return self.node("Squeeze", x, self.constant("axes", axes), output=output)

    def unsqueeze(self, x: str, *axes: int, output: str = "") -> str:
        return self.node("Unsqueeze", x, self.constant("axes", axes), output=output)


def _evaluated(node: NodeProto, feeds: Mapping[str, Array], opset: int) -> dict[str, Array] | None:
    """Run one node in ONNX's own reference implementation; None where it has no small result."""
    from onnx.reference import ReferenceEvaluator

    if node.op_type == "Constant":
        tensor = next((a.t for a in node.attribute if a.name == "value"), None)
        if tensor is not None and (
            prod(tensor.dims) > SMALL_ELEMENTS or not _is_plain(tensor.data_type)
        ):
            return None
    # What may grow far beyond its inputs.
    if node.op_type in ("ConstantOfShape", "Expand", "Tile", "Range") and _is_big(node, feeds):
        return None
    try:
        with np.errstate(all="ignore"):
            found = ReferenceEvaluator(node, opsets={"": opset}).run(None, dict(feeds))
    except Exception:  # the reader of the file says what is wrong with it
        return None
    arrays = {n: np.asarray(a) for n, a in zip(node.output, found, strict=False) if n}
    if any(array.size > SMALL_ELEMENTS for array in arrays.values()):
        return None
    return arrays


def _is_big(node: NodeProto, feeds: Mapping[str, Array]) -> bool:
    """Whether an operator that makes much of little would."""
    if node.op_type == "Range":
        start, stop, step = (float(feeds[name]) for name in node.input)
        return abs(stop - start) > SMALL_ELEMENTS * abs(step)
    lengths = feeds[node.input[-1]].astype(np.float64)
    return bool(np.abs(lengths).prod() > SMALL_ELEMENTS)


def _is_plain(kind: int) -> bool:
    """Whether NumPy has the type."""
    names = ("FLOAT", "DOUBLE", "FLOAT16", "BOOL", "INT8", "INT16", "INT32", "INT64")
    plain = {TensorProto.DataType.Value(name) for name in names}
    plain |= {TensorProto.DataType.Value(f"UINT{bits}") for bits in (8, 16, 32, 64)}
    return kind in plain


@cache
def _schema(op: str, domain: str, opset: int) -> onnx.defs.OpSchema | None:
    try:
        return onnx.defs.get_schema(op, opset, "" if domain == "ai.onnx" else domain)
    except onnx.defs.SchemaError:
        return None


def _same_as_first(walk: Walk, node: NodeProto) -> None:
    """Operators of other domains are mostly quantizers: the result is like the first input."""
    if (
        node.op_type in ("Quant", "IntQuant", "BipolarQuant", "Trunc")
        and node.input[0] in walk.types
    ):
        walk.types[node.output[0]] = walk.types[node.input[0]]


def _note_origin(node: NodeProto, origin: str) -> None:
    if not any(entry.key == ORIGIN for entry in node.metadata_props):
        node.metadata_props.add(key=ORIGIN, value=origin)
