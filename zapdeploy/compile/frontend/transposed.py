"""ConvTranspose: its weights brought into the order of a convolution's, its padding worked out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from zapdeploy.compile.frontend.errors import RefusedError
from zapdeploy.compile.frontend.graph_builder import GraphBuilder
from zapdeploy.compile.frontend.matrix import reshape
from zapdeploy.compile.frontend.onnx_node import OnnxNode
from zapdeploy.compile.frontend.registry import translates
from zapdeploy.compile.graph import FLOAT32, Array, Attribute, Node, Quantization, Shape, Value


@translates("ConvTranspose")
def conv_transpose(builder: GraphBuilder, node: OnnxNode) -> None:
    """The weights are [C, O/group, *K] in the file, [O, C/group, *K] in the graph."""
    x, w = builder.real(node.required(0)), builder.real(node.required(1))
    if not 3 <= len(x.shape) <= 5 or len(w.shape) != len(x.shape):
        raise RefusedError(
            "input and weights must have the same 3 to 5 dimensions, "
            f"not {list(x.shape)} and {list(w.shape)}"
        )
    group = node.integer("group", 1)
    if group < 1 or w.shape[0] % group or x.shape[1] != w.shape[0]:
        raise RefusedError(
            f"channels must be those of the weights, {w.shape[0]}, in groups of equal size, "
            f"not {x.shape[1]} in {group} groups"
        )
    attributes = _attributes(node, x.shape, w.shape)
    weights = _turned(builder, node, w, group)
    bias = builder.real(node.input(2)).name if node.input(2) else ""
    builder.emit(node, "ConvTranspose", (x.name, weights, bias), {**attributes, "group": group})


def _attributes(node: OnnxNode, x: Shape, w: Shape) -> dict[str, Attribute]:
    """strides, dilations and pads; output_padding is less padding at the end."""
    rank = len(x) - 2
    kernel = node.integers("kernel_shape", w[2:])
    if kernel != w[2:]:
        raise RefusedError(
            f"kernel_shape must be that of the weights, {list(w[2:])}, not {list(kernel)}"
        )
    strides = _numbers(node, "strides", (1,) * rank, least=1)
    dilations = _numbers(node, "dilations", (1,) * rank, least=1)
    extra = _numbers(node, "output_padding", (0,) * rank, least=0)
    whole = [
        (length - 1) * s + d * (k - 1) + 1 + e
        for length, s, d, k, e in zip(x[2:], strides, dilations, kernel, extra, strict=True)
    ]
    begins, ends = _pads(node, x[2:], strides, whole)
    ends = tuple(end - e for end, e in zip(ends, extra, strict=True))
    return {"strides": strides, "dilations": dilations, "pads": (*begins, *ends)}


def _pads(
    node: OnnxNode, spatial: Shape, strides: Shape, whole: list[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What is cropped of the whole output at the beginnings and ends.

    With output_shape, or with SAME, what is too much is halved; an odd one goes to the end for
    SAME_UPPER, to the beginning otherwise.
    """
    rank, mode = len(spatial), node.text("auto_pad", "NOTSET")
    if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise RefusedError(f"auto_pad must be NOTSET, VALID, SAME_UPPER or SAME_LOWER, not {mode}")
    target = node.integers("output_shape")
    if not target and mode.startswith("SAME"):
        target = tuple(length * s for length, s in zip(spatial, strides, strict=True))
    if not target:
        pads = (0,) * 2 * rank if mode == "VALID" else _numbers(node, "pads", (0,) * 2 * rank, 0)
        return pads[:rank], pads[rank:]
    target = target[-rank:]
    if len(target) < rank:
        raise RefusedError(f"output_shape must have {rank} numbers, not {list(target)}")
    total = [max(size - wanted, 0) for size, wanted in zip(whole, target, strict=True)]
    small = tuple(t // 2 for t in total)
    large = tuple(t - t // 2 for t in total)
    begins, ends = (small, large) if mode == "SAME_UPPER" else (large, small)
    # An output_shape beyond all that is computed adds positions at the end.
    missing = [max(wanted - size, 0) for size, wanted in zip(whole, target, strict=True)]
    return begins, tuple(end - m for end, m in zip(ends, missing, strict=True))


def _numbers(node: OnnxNode, name: str, default: tuple[int, ...], least: int) -> tuple[int, ...]:
    found = node.integers(name, default)
    if len(found) != len(default) or min(found) < least:
        raise RefusedError(
            f"{name} must be {len(default)} numbers of at least {least}, not {list(found)}"
        )
    return found


def _turned(builder: GraphBuilder, node: OnnxNode, w: Value, group: int) -> str:
    """The name of the weights as [O, C/group, *K].

    Dequantized codes are turned as codes, because scales along O/group repeat in every group.
    """
    source = builder.producers.get(w.name)
    if source is not None and source.op == "Dequantize":
        codes = builder.value(source.inputs[0])
        if codes.data is not None and _per_output(codes):
            return _turned_codes(builder, source, codes, group)
    if w.data is not None:
        return builder.constant(f"{w.name}_turned", _turned_array(w.data, group))
    grouped = reshape(builder, node, w, (group, w.shape[0] // group, *w.shape[1:]))
    perm: dict[str, Attribute] = {"perm": (0, 2, 1, *range(3, len(w.shape) + 1))}
    output = builder.fresh(f"{w.name}_turned")
    turned = builder.value(builder.emit(node, "Transpose", (grouped,), perm, output=output))
    shape = (group * turned.shape[1], *turned.shape[2:])
    return reshape(builder, node, turned, shape)


def _per_output(codes: Value) -> bool:
    """Whether weights [C, O/group, *K] have one scale, or one for each output channel."""
    return codes.quantization is not None and codes.quantization.axis in (None, 1)


def _turned_codes(builder: GraphBuilder, source: Node, codes: Value, group: int) -> str:
    """A new constant and its dequantizer beside those of the file, which passes then remove."""
    assert codes.data is not None
    assert codes.quantization is not None
    data, meaning = _turned_array(codes.data, group), _repeated(codes.quantization, group)
    name, output = (
        builder.fresh(f"{codes.name}_turned"),
        builder.fresh(f"{source.outputs[0]}_turned"),
    )
    builder.define(replace(codes, name=name, shape=data.shape, data=data, quantization=meaning))
    builder.define(Value(output, data.shape, FLOAT32))
    made = builder.fresh_node(f"{source.name}_turned")
    builder.append(replace(source, name=made, inputs=(name,), outputs=(output,)))
    return output


def _turned_array(w: Array, group: int) -> Array:
    """[C, O/group, *K] as [O, C/group, *K]."""
    grouped = w.reshape(group, w.shape[0] // group, *w.shape[1:]).swapaxes(1, 2)
    return np.ascontiguousarray(grouped).reshape(-1, *grouped.shape[2:])


def _repeated(meaning: Quantization, group: int) -> Quantization:
    """Scales along O/group, once for each group, along O."""
    if meaning.axis is None:
        return meaning
    scale, zeros = (np.tile(array, group) for array in (meaning.scale, meaning.zero_point))
    return replace(meaning, scale=scale, zero_point=zeros, axis=0)
