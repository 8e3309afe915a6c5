"""Conv, Gemm and MatMul in floating point: quantized later, by what stands around them."""

from __future__ import annotations

import numpy as np

from zapdeploy.compile.frontend.errors import RefusedError
from zapdeploy.compile.frontend.graph_builder import GraphBuilder
from zapdeploy.compile.frontend.onnx_node import OnnxNode
from zapdeploy.compile.frontend.registry import translates
from zapdeploy.compile.frontend.windows import convolution_attributes
from zapdeploy.compile.graph import Shape, Value


@translates("Conv")
def conv(builder: GraphBuilder, node: OnnxNode) -> None:
    x, w = builder.real(node.required(0)), builder.real(node.required(1))
    attributes = convolution_attributes(node, x.shape, w.shape)
    bias = builder.real(node.input(2)).name if node.input(2) else ""
    builder.emit(node, "Conv", (x.name, w.name, bias), attributes)


@translates("MatMul")
def matmul(builder: GraphBuilder, node: OnnxNode) -> None:
    """A vector operand becomes a matrix of one row or column, which the result loses again."""
    a, b = builder.real(node.required(0)), builder.real(node.required(1))
    if len(a.shape) > 1 and len(b.shape) > 1:
        builder.emit(node, "MatMul", (a.name, b.name))
        return
    left = a.name if len(a.shape) > 1 else reshape(builder, node, a, (1, *a.shape))
    right = b.name if len(b.shape) > 1 else reshape(builder, node, b, (*b.shape, 1))
    product = builder.emit(
        node, "MatMul", (left, right), output=builder.fresh(f"{node.output}_product")
    )
    shape = builder.value(product).shape
    kept = shape[: -2 if len(a.shape) == 1 else -1] + (shape[-1:] if len(b.shape) > 1 else ())
    builder.emit(node, "Reshape", (product,), shape=kept)


@translates("Gemm")
def gemm(builder: GraphBuilder, node: OnnxNode) -> None:
    """y = alpha A' B' + beta C: transposes, a MatMul, and what alpha and beta and C need."""
    a, b = builder.real(node.required(0)), builder.real(node.required(1))
    if len(a.shape) != 2 or len(b.shape) != 2:
        raise RefusedError(f"inputs must be matrices, not {list(a.shape)} and {list(b.shape)}")
    left = transpose(builder, node, a) if node.integer("transA", 0) else a.name
    right = transpose(builder, node, b) if node.integer("transB", 0) else b.name
    alpha = node.number("alpha", 1.0)
    columns = builder.value(right).shape[1]
    c = _scaled_c(builder, node)
    bias = "" if c is None or alpha != 1 else _as_bias(builder, node, c, columns)
    last = c is None or bool(bias)
    product = _emit_step(builder, node, "MatMul", (left, right, bias), last and alpha == 1)
    if alpha != 1:
        factor = builder.constant(f"{node.name}_alpha", alpha)
        product = _emit_step(builder, node, "Mul", (product, factor), last)
    if c is not None and not bias:
        builder.emit(node, "Add", (product, c.name))


def _emit_step(
    builder: GraphBuilder, node: OnnxNode, op: str, inputs: tuple[str, ...], last: bool
) -> str:
    output = "" if last else builder.fresh(f"{node.output}_{op.lower()}")
    return builder.emit(node, op, inputs, output=output)


def _scaled_c(builder: GraphBuilder, node: OnnxNode) -> Value | None:
    beta = node.number("beta", 1.0)
    if not node.input(2) or beta == 0:
        return None
    c = builder.real(node.input(2))
    if beta == 1:
        return c
    if c.data is not None:
        return builder.value(builder.constant(f"{c.name}_scaled", np.float32(beta) * c.data))
    factor = builder.constant(f"{node.name}_beta", beta)
    scaled = builder.emit(node, "Mul", (c.name, factor), output=builder.fresh(f"{c.name}_scaled"))
    return builder.value(scaled)


def _as_bias(builder: GraphBuilder, node: OnnxNode, c: Value, columns: int) -> str:
    """The name of C as a vector with one entry per column, empty when it is not one."""
    if c.shape == (columns,):
        return c.name
    if c.shape in ((1, columns), (1,), ()) and c.data is not None:
        data = np.broadcast_to(c.data.ravel(), (columns,)).copy()
        return builder.constant(f"{c.name}_bias", data)
    return reshape(builder, node, c, (columns,)) if c.shape == (1, columns) else ""


def reshape(builder: GraphBuilder, node: OnnxNode, value: Value, shape: Shape) -> str:
    """A new value: this one under another shape."""
    output = builder.fresh(f"{value.name}_reshaped")
    return builder.emit(
        node,
        "Reshape",
        (value.name,),
        output=output,
        shape=shape,
        element=value.element,
        quantization=value.quantization,
    )


def transpose(builder: GraphBuilder, node: OnnxNode, value: Value) -> str:
    """A new value: this matrix transposed."""
    output = builder.fresh(f"{value.name}_transposed")
    return builder.emit(node, "Transpose", (value.name,), {"perm": (1, 0)}, output=output)
