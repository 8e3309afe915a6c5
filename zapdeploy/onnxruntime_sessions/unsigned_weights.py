"""The same network with uint8 weights wherever uint8 activations meet int8 weights.

A weight w with zero point z is w + 128 with zero point z + 128: every difference, and so every sum,
is the same, and ONNX Runtime's kernels for uint8 by uint8 do not saturate on any processor. It has
an option of its own for this (`session.x64quantprecision`), which does nothing where optimizations
are off, refuses files in which two nodes read one weight or zero point, and turns products of int8
by int8 into some for which it has no kernel (1.32).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

_INT8, _UINT8, _INT32 = 3, 2, 6  # of onnx.TensorProto


@dataclass(frozen=True)
class _Product:
    """Where a product in operator form has its operands and their zero points."""

    left: int
    left_zero: int
    right: int
    right_zero: int


_PRODUCTS = {
    "QLinearConv": _Product(0, 2, 3, 5),
    "QLinearMatMul": _Product(0, 2, 3, 5),
    "QGemm": _Product(0, 2, 3, 5),
    "MatMulInteger": _Product(0, 2, 1, 3),
    "ConvInteger": _Product(0, 2, 1, 3),
    "MatMulIntegerToFloat": _Product(0, 4, 1, 5),
    "DynamicQuantizeMatMul": _Product(0, -1, 1, 3),
}
# Those around which ONNX Runtime puts a kernel of integers: a list of its own.
_FLOAT_PRODUCTS = ("Conv", "ConvTranspose", "MatMul", "Gemm")


def with_unsigned_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model, whose weights are in it; the model itself where nothing is to be done.

    Tensors keep their names, but for the weights that change. Subgraphs stay as they are.
    """
    import onnx

    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    rewriting = _Rewriting(changed)
    rewriting.run()
    return changed if rewriting.count else model


class _Rewriting:
    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self._types = dict(_types(model))
        self.count = 0

    def run(self) -> None:
        nodes = list(self._graph.node)
        added: list[onnx.NodeProto] = []
        for node in nodes:
            before = len(added)
            if node.op_type in _PRODUCTS:
                self._product(node, _PRODUCTS[node.op_type], added)
            elif node.op_type in _FLOAT_PRODUCTS and len(node.input) > 1:
                self._between_quantizers(node, added)
            added.append(node)
            self.count += len(added) - before - 1
        del self._graph.node[:]
        self._graph.node.extend(added)

    def _product(self, node: onnx.NodeProto, places: _Product, added: list[onnx.NodeProto]) -> None:
        left = _UINT8 if places.left_zero < 0 else self._type(node, places.left, places.left_zero)
        if left != _UINT8 or self._type(node, places.right, places.right_zero) != _INT8:
            return
        weight = node.input[places.right]
        if weight in self._constants:
            node.input[places.right] = self._raised(weight)
            self.count += 1
        else:
            node.input[places.right] = self._raised_by_nodes(weight, added)
        zero = _input(node, places.right_zero)
        while len(node.input) <= places.right_zero:
            node.input.append("")
        if not zero:
            node.input[places.right_zero] = self._constant(np.uint8(128))
        elif zero in self._constants:
            node.input[places.right_zero] = self._raised(zero)
        else:
            node.input[places.right_zero] = self._raised_by_nodes(zero, added)

    def _between_quantizers(self, node: onnx.NodeProto, added: list[onnx.NodeProto]) -> None:
        """A float product of a dequantized uint8 tensor and a dequantized constant int8 one."""
        left, right = (self._makers.get(name) for name in node.input[:2])
        if left is None or right is None:
            return
        if left.op_type != "DequantizeLinear" or right.op_type != "DequantizeLinear":
            return
        weight = right.input[0]
        if weight not in self._constants or self._type(right, 0, 2) != _INT8:
            return
        if self._type(left, 0, 2) != _UINT8 or left.input[0] in self._constants:
            return
        import onnx

        own = onnx.NodeProto()
        own.CopyFrom(right)
        own.output[0] = self._fresh(right.output[0])
        own.name = own.output[0]
        zero = _input(right, 2)
        shape = self._constants[right.input[1]].dims if right.input[1] in self._constants else ()
        raised = self._raised(zero) if zero else self._constant(np.full(shape, 128, np.uint8))
        del own.input[2:]
        own.input[0] = self._raised(weight)
        own.input.append(raised)
        node.input[1] = own.output[0]
        added.append(own)

    def _type(self, node: onnx.NodeProto, place: int, zero: int) -> int:
        """The element type of an operand, by its zero point where nothing else says it."""
        for name in (_input(node, place), _input(node, zero)):
            if name in self._constants:
                return self._constants[name].data_type
            if self._types.get(name):
                return self._types[name]
        maker = self._makers.get(_input(node, place))
        if maker is not None and maker.op_type == "QuantizeLinear":
            return self._type(maker, 2, 2) if _input(maker, 2) else _UINT8
        return 0

    def _raised(self, name: str) -> str:
        """A constant's copy with 128 added."""
        from onnx import numpy_helper

        values = numpy_helper.to_array(self._constants[name]).astype(np.int16) + 128
        return self._constant(values.astype(np.uint8))

    def _raised_by_nodes(self, name: str, added: list[onnx.NodeProto]) -> str:
        from onnx import helper

        wide, more, found = (self._fresh(name) for _ in range(3))
        offset = self._constant(np.int32(128))
        added += [
            helper.make_node("Cast", [name], [wide], to=_INT32),
            helper.make_node("Add", [wide, offset], [more]),
            helper.make_node("Cast", [more], [found], to=_UINT8),
        ]
        return found

    def _constant(self, values: np.ndarray | np.generic) -> str:
        from onnx import numpy_helper

        name = self._fresh("weight")
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def _fresh(self, name: str) -> str:
        self._made = getattr(self, "_made", 0) + 1
        return f"{name}.__unsigned{self._made}"


def _input(node: onnx.NodeProto, place: int) -> str:
    name: str = node.input[place] if 0 <= place < len(node.input) else ""
    return name


def _types(model: onnx.ModelProto) -> Iterator[tuple[str, int]]:
    """Element types of tensors, as far as they can be told."""
    import onnx

    try:
        inferred = onnx.shape_inference.infer_shapes(_light(model))
    except (ValueError, RuntimeError, onnx.shape_inference.InferenceError):
        inferred = model
    for value in (*inferred.graph.value_info, *model.graph.input, *model.graph.output):
        yield value.name, value.type.tensor_type.elem_type


def _light(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network with its initializers as inputs: enough for types, whatever their size."""
    import onnx
    from onnx import helper

    light = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    light.functions.extend(model.functions)
    light.graph.name = "types"
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(model.graph.output)
    known = {value.name for value in model.graph.input}
    light.graph.input.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in model.graph.initializer
        if tensor.name not in known
    )
    return light
