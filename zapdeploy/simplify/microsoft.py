"""What ONNX Runtime fuses and saves, written in ONNX's own operators again."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import Any

from onnx import NodeProto

from zapdeploy.simplify.registry import MICROSOFT, STANDARD, expands
from zapdeploy.simplify.walking import Place, Writer

BOTH = (STANDARD, MICROSOFT)
_NUMBERS = ("alpha", "beta", "gamma")


@expands("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", domains=(MICROSOFT,))
def skip_normalization(place: Place) -> Iterable[NodeProto] | None:
    """A residual sum and a normalization; the fourth output is the sum."""
    if place.output(1) or place.output(2):
        return None
    out, simple = place.writer(), place.node.op_type == "SkipSimplifiedLayerNormalization"
    x, skip, gamma = (place.input(i) for i in range(3))
    beta, bias = ("", place.input(3)) if simple else (place.input(3), place.input(4))
    if bias:
        x = out.node("Add", x, bias)
    total = out.node("Add", x, skip, output=place.output(3))
    epsilon = place.attributes.get("epsilon", 1e-12)
    _normalize(out, total, gamma, beta, epsilon, place.output(0), simple)
    return out.nodes


@expands("SimplifiedLayerNormalization", domains=BOTH)
def simplified_normalization(place: Place) -> Iterable[NodeProto] | None:
    """RMS normalization under its older name."""
    if place.output(1):
        return None
    out, x = place.writer(), place.input(0)
    rank = len(place.shape(x))
    if place.attributes.get("axis", -1) % rank != rank - 1:
        return None
    epsilon = place.attributes.get("epsilon", 1e-5)
    _normalize(out, x, place.input(1), "", epsilon, place.output(0), True)
    return out.nodes


def _normalize(
    out: Writer, x: str, gamma: str, beta: str, epsilon: float, output: str, simple: bool
) -> None:
    """Over the last axis: LayerNormalization, or x over its root mean square."""
    if not simple and out.walk.opset >= 17:
        inputs = [x, gamma, beta] if beta else [x, gamma]
        out.node("LayerNormalization", *inputs, output=output, axis=-1, epsilon=epsilon)
        return
    if not simple:
        x = out.node("Sub", x, out.node("ReduceMean", x, axes=[-1], keepdims=1))
    square = out.node("Mul", x, x)
    mean = (
        out.node("ReduceMean", square, out.constant("axes", [-1]), keepdims=1)
        if out.walk.opset >= 18
        else out.node("ReduceMean", square, axes=[-1], keepdims=1)
    )
    root = out.node("Sqrt", out.node("Add", mean, out.constant("epsilon", epsilon)))
    normal = out.node("Div", x, root)
    scaled = out.node("Mul", normal, gamma, output="" if beta else output)
    if beta:
        out.node("Add", scaled, beta, output=output)


@expands("FusedMatMul", "TransposeMatMul", domains=(MICROSOFT,))
def fused_matmul(place: Place) -> Iterable[NodeProto] | None:
    """A product of operands that may be transposed, times a factor."""
    out, attributes = place.writer(), place.attributes
    if attributes.get("transBatchA", 0) or attributes.get("transBatchB", 0):
        return None
    names = []
    for index, key in enumerate(("transA", "transB")):
        name = place.input(index)
        if attributes.get(key, 0):
            rank = len(place.shape(name))
            name = out.node("Transpose", name, perm=[*range(rank - 2), rank - 1, rank - 2])
        names.append(name)
    alpha = attributes.get("alpha", 1.0)
    product = out.node("MatMul", *names, output="" if alpha != 1 else place.output(0))
    if alpha != 1:
        out.node("Mul", product, out.constant("alpha", alpha), output=place.output(0))
    return out.nodes


@expands("FusedGemm", domains=(MICROSOFT,))
def fused_gemm(place: Place) -> Iterable[NodeProto] | None:
    """A Gemm, and the activation behind it."""
    attributes = place.attributes
    kept = {k: v for k, v in attributes.items() if not k.startswith("activation")}
    out = place.writer()
    product = out.node("Gemm", *place.node.input, **kept)
    numbers = {n: attributes.get(f"activation_{n}") for n in _NUMBERS}
    _activate(out, product, attributes.get("activation", ""), numbers, place.output(0))
    return out.nodes


@expands("FusedConv", "NhwcFusedConv", domains=(MICROSOFT,))
def fused_conv(place: Place) -> Iterable[NodeProto] | None:
    """A convolution, a sum with the fourth input, an activation."""
    attributes, out = place.attributes, place.writer()
    if place.node.op_type == "NhwcFusedConv":
        return None
    kept = {k: v for k, v in attributes.items() if not k.startswith("activation")}
    found = out.node("Conv", *[name for name in place.node.input[:3] if name], **kept)
    if place.input(3):
        found = out.node("Add", found, place.input(3))
    given = list(attributes.get("activation_params", ()))
    name = attributes.get("activation", "")
    keys = ("min", "max") if name == "Clip" else ("alpha", "beta")
    _activate(out, found, name, dict(zip(keys, given, strict=False)), place.output(0))
    return out.nodes


def _activate(
    out: Writer, x: str, name: str, numbers: dict[str, float | None], output: str
) -> None:
    given = {key: value for key, value in numbers.items() if value is not None}
    if not name:
        out.node("Identity", x, output=output)
    elif name == "Clip":
        bounds = [out.constant(key, given[key]) for key in ("min", "max")]
        out.node("Clip", x, *bounds, output=output)
    else:
        takes = {"LeakyRelu": ("alpha",), "HardSigmoid": ("alpha", "beta"), "Elu": ("alpha",)}
        kept: dict[str, Any] = {k: given[k] for k in takes.get(name, ()) if k in given}
        out.node(name, x, output=output, **kept)


@expands("BiasGelu", domains=(MICROSOFT,))
def bias_gelu(place: Place) -> Iterable[NodeProto] | None:
    """A bias, and Gelu of the sum."""
    out = place.writer()
    biased = out.node("Add", place.input(0), place.input(1))
    out.node("Gelu", biased, output=place.output(0), domain=MICROSOFT)
    return out.nodes


@expands("QuickGelu", domains=(MICROSOFT,))
def quick_gelu(place: Place) -> Iterable[NodeProto] | None:
    """x times the sigmoid of alpha x."""
    out, x = place.writer(), place.input(0)
    scaled = out.node("Mul", x, out.constant("alpha", place.attributes.get("alpha", 1.702)))
    out.node("Mul", x, out.node("Sigmoid", scaled), output=place.output(0))
    return out.nodes


@expands("DynamicQuantizeMatMul", domains=(MICROSOFT,))
def dynamic_quantize_matmul(place: Place) -> Iterable[NodeProto] | None:
    """a, codes of b, scale of b, zero point of b, bias: a is quantized as it comes."""
    out = place.writer()
    codes, scale, zero = out.nodes_of("DynamicQuantizeLinear", (place.input(0),), ["", "", ""])
    inputs = (codes, place.input(1), scale, place.input(2), zero, place.input(3), place.input(4))
    _integer_product(out, inputs, place.output(0))
    return out.nodes


@expands("MatMulIntegerToFloat", domains=(MICROSOFT,))
def matmul_integer_to_float(place: Place) -> Iterable[NodeProto] | None:
    """Codes of a and b, their scales, their zero points, bias."""
    out = place.writer()
    _integer_product(out, tuple(place.input(i) for i in range(7)), place.output(0))
    return out.nodes


def _integer_product(out: Writer, inputs: tuple[str, ...], output: str) -> None:
    a, b, a_scale, b_scale, a_zero, b_zero, bias = inputs
    zeros = [a_zero, b_zero] if b_zero else [a_zero] if a_zero else []
    real = out.node("Cast", out.node("MatMulInteger", a, b, *zeros), to=1)
    scale = out.node("Mul", a_scale, b_scale)
    product = out.node("Mul", real, scale, output="" if bias else output)
    if bias:
        out.node("Add", product, bias, output=output)


@expands("EmbedLayerNormalization", domains=(MICROSOFT,))
def embed_normalization(place: Place) -> Iterable[NodeProto] | None:
    """Word, position and segment embeddings, added and normalized."""
    if place.input(8) or place.output(2):
        return None
    out = place.writer()
    ids, segments, words, positions, kinds, gamma, beta = (place.input(i) for i in range(7))
    length = place.length(ids, 1)
    total = out.node("Gather", words, ids)
    total = out.node("Add", total, out.slice(positions, 0, length, 0))
    if segments:
        total = out.node("Add", total, out.node("Gather", kinds, segments))
    epsilon = place.attributes.get("epsilon", 1e-12)
    _normalize(out, total, gamma, beta, epsilon, place.output(0), False)
    if place.output(1) and place.input(7):
        counted = out.node("Cast", place.input(7), to=6)
        out.node(
            "ReduceSum", counted, out.constant("axes", [1]), output=place.output(1), keepdims=0
        )
    return out.nodes


@expands("Attention", domains=(MICROSOFT,))
def attention(place: Place) -> Iterable[NodeProto] | None:
    """Self-attention with one matrix for queries, keys and values, as BERT's is saved.

    A mask [batch, tokens] is 1 where a token counts.
    """
    out, attributes = place.writer(), place.attributes
    if (
        any(place.input(i) for i in (4, 5, 6))
        or place.output(1)
        or attributes.get("unidirectional")
    ):
        return None
    width = place.length(place.input(1), 1) // 3
    joined = out.node("Add", out.node("MatMul", place.input(0), place.input(1)), place.input(2))
    split = out.constant("split", [width] * 3)
    parts = out.nodes_of("Split", (joined, split), ["", "", ""], axis=-1)
    return _attended(place, out, parts, width, place.input(3), "")


@expands("MultiHeadAttention", domains=(MICROSOFT,))
def multi_head_attention(place: Place) -> Iterable[NodeProto] | None:
    """Attention of queries, keys and values [batch, tokens, width], each with its part of a bias.

    A mask [batch, keys] is 1 where a key counts; what is added to the scores comes last.
    """
    more = any(place.input(i) for i in (*range(6, 10),)) or place.output(1)
    parts = [place.input(i) for i in range(3)]
    if more or not all(parts) or place.attributes.get("unidirectional"):
        return None
    if any(len(place.shape(name)) != 3 for name in parts):
        return None
    out, width = place.writer(), place.length(parts[0], 2)
    if place.length(parts[2], 2) != width:
        return None
    if place.input(3):
        split = out.constant("split", [width] * 3)
        biases = out.nodes_of("Split", (place.input(3), split), ["", "", ""], axis=0)
        parts = [out.node("Add", part, bias) for part, bias in zip(parts, biases, strict=True)]
    return _attended(place, out, parts, width, place.input(4), place.input(5))


def _attended(
    place: Place, out: Writer, parts: list[str], width: int, mask: str, added: str
) -> Iterable[NodeProto] | None:
    """softmax(scale Q K' + added) V over heads, of [batch, tokens, width] each."""
    attributes, heads = place.attributes, place.attributes["num_heads"]
    each = width // heads
    shape = out.constant("shape", [0, 0, heads, each])
    q, k, v = (
        out.node("Transpose", out.node("Reshape", part, shape), perm=[0, 2, 1, 3]) for part in parts
    )
    keys = out.node("Transpose", k, perm=[0, 1, 3, 2])
    scale = out.constant("scale", attributes.get("scale") or 1 / sqrt(each))
    scores = out.node("Mul", out.node("MatMul", q, keys), scale)
    if mask:
        if len(place.shape(mask)) != 2:
            return None
        counted = out.unsqueeze(out.node("Cast", mask, to=1), 1, 2)
        far = out.constant("far", attributes.get("mask_filter_value", -10000.0))
        away = out.node("Sub", out.constant("one", 1.0), counted)
        scores = out.node("Add", scores, out.node("Mul", away, far))
    if added:
        scores = out.node("Add", scores, added)
    mixed = out.node("MatMul", out.node("Softmax", scores, axis=-1), v)
    back = out.node("Transpose", mixed, perm=[0, 2, 1, 3])
    out.node("Reshape", back, out.constant("shape", [0, 0, width]), output=place.output(0))
    return out.nodes
