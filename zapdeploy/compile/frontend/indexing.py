"""Gather and its kin, repetition, and blocks of channels: data that changes place."""

from __future__ import annotations

from math import prod

import numpy as np

from zapdeploy.compile.frontend.errors import RefusedError
from zapdeploy.compile.frontend.graph_builder import GraphBuilder
from zapdeploy.compile.frontend.movement import emit_move, view
from zapdeploy.compile.frontend.onnx_node import OnnxNode
from zapdeploy.compile.frontend.registry import translates
from zapdeploy.compile.graph import Array, Attribute, Shape, Value
from zapdeploy.errors import ModelError


@translates("Gather")
def gather(builder: GraphBuilder, node: OnnxNode) -> None:
    """Constant indices are a slice where they are evenly spaced, else taken; the result is seen
    with the dimensions of the indices. Computed indices are looked up at run time."""
    x, indices = builder.value(node.required(0)), builder.value(node.required(1))
    axis = _axis(node, len(x.shape))
    if indices.data is None:
        _emit_lookup(builder, node, x, indices, axis)
        return
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    flat = _from_the_front(node, indices.data, x.shape[axis])
    if indices.shape == flat.shape:
        _emit_taken(builder, node, x, axis, flat)
        return
    part = _emit_taken(builder, node, x, axis, flat, builder.fresh(f"{node.output}_taken"))
    view(builder, node, builder.value(part), shape)


def _axis(node: OnnxNode, rank: int) -> int:
    axis = node.integer("axis", 0)
    if not -rank <= axis < rank:
        raise ModelError(f"axis must be in [{-rank}, {rank}), not {axis} (node '{node.name}')")
    return axis % rank


def _from_the_front(node: OnnxNode, indices: Array, length: int) -> Array:
    flat = np.where(indices < 0, indices + length, indices).ravel()
    if not flat.size or flat.min() < 0 or flat.max() >= length:
        shown = str(indices.tolist())[:60]
        raise ModelError(f"indices must be less than {length}, not {shown} (node '{node.name}')")
    return flat


def _emit_taken(
    builder: GraphBuilder, node: OnnxNode, x: Value, axis: int, flat: Array, output: str = ""
) -> str:
    shape, rank = (*x.shape[:axis], flat.size, *x.shape[axis + 1 :]), len(x.shape)
    step = int(flat[1] - flat[0]) if flat.size > 1 else 1
    if step == 0 or np.any(np.diff(flat) != step):
        taken: dict[str, Attribute] = {"axes": (axis,), "indices": tuple(flat.tolist())}
        return emit_move(builder, node, x, "Take", taken, shape, output)
    sliced: dict[str, Attribute] = {
        "starts": tuple(int(flat[0]) if d == axis else 0 for d in range(rank)),
        "steps": tuple(step if d == axis else 1 for d in range(rank)),
    }
    return emit_move(builder, node, x, "Slice", sliced, shape, output)


@translates("GatherElements")
def gather_elements(builder: GraphBuilder, node: OnnxNode) -> None:
    x, indices = builder.value(node.required(0)), builder.value(node.required(1))
    _emit_lookup(builder, node, x, indices, _axis(node, len(x.shape)))


def _emit_lookup(
    builder: GraphBuilder, node: OnnxNode, x: Value, indices: Value, axis: int
) -> None:
    if not indices.element.is_integer or indices.quantization is not None:
        raise RefusedError(f"indices must be plain integers, not {indices.element.name}")
    if x.quantization is not None and x.quantization.axis is not None:
        raise RefusedError("codes must have one scale for the tensor")
    names = (x.name, indices.name)
    attributes: dict[str, Attribute] = {"axis": axis}
    builder.emit(node, node.op, names, attributes, element=x.element, quantization=x.quantization)


@translates("Expand")
def expand(builder: GraphBuilder, node: OnnxNode) -> None:
    """Dimensions of length 1 are repeated, after new ones of length 1 in front."""
    x = builder.value(node.required(0))
    target = tuple(int(v) for v in builder.array(node.required(1), "shape").ravel())
    try:
        shape = tuple(np.broadcast_shapes(x.shape, target))
    except ValueError:
        raise ModelError(
            f"shape must broadcast with {list(x.shape)}, not {list(target)} (node '{node.name}')"
        ) from None
    _emit_tiled(builder, node, x, (*(1,) * (len(shape) - len(x.shape)), *x.shape), shape)


@translates("Tile")
def tile(builder: GraphBuilder, node: OnnxNode) -> None:
    x = builder.value(node.required(0))
    times = [int(v) for v in builder.array(node.required(1), "repeats").ravel()]
    if len(times) != len(x.shape) or min(times, default=1) < 1:
        raise ModelError(
            f"repeats must be {len(x.shape)} numbers of at least 1, not {times} "
            f"(node '{node.name}')"
        )
    shape = tuple(n * length for n, length in zip(times, x.shape, strict=True))
    _emit_tiled(builder, node, x, x.shape, shape)


def _emit_tiled(builder: GraphBuilder, node: OnnxNode, x: Value, seen: Shape, shape: Shape) -> None:
    """x, seen under a shape of as many dimensions, repeated; a view where nothing is repeated."""
    if seen == shape:
        view(builder, node, x, shape)
        return
    if seen != x.shape:
        x = builder.value(view(builder, node, x, seen, builder.fresh(f"{node.output}_seen")))
    emit_move(builder, node, x, "Tile", {}, shape)


@translates("DepthToSpace")
def depth_to_space(builder: GraphBuilder, node: OnnxNode) -> None:
    """Blocks of channels become blocks of positions: a view, a transpose, a view."""
    x = builder.value(node.required(0))
    n, c, h, w, size = _image(node, x)
    if c % (size * size):
        raise ModelError(
            f"channels must be a multiple of {size * size}, not {c} (node '{node.name}')"
        )
    each = c // (size * size)
    if _depth_first(node):
        split, perm = (n, size, size, each, h, w), (0, 3, 4, 1, 5, 2)
    else:
        split, perm = (n, each, size, size, h, w), (0, 1, 4, 2, 5, 3)
    _emit_blocks(builder, node, x, split, perm, (n, each, h * size, w * size))


@translates("SpaceToDepth")
def space_to_depth(builder: GraphBuilder, node: OnnxNode) -> None:
    x = builder.value(node.required(0))
    n, c, h, w, size = _image(node, x)
    if h % size or w % size:
        raise ModelError(
            f"positions must be multiples of {size}, not {h} x {w} (node '{node.name}')"
        )
    split = (n, c, h // size, size, w // size, size)
    shape = (n, c * size * size, h // size, w // size)
    perm = (0, 3, 5, 1, 2, 4) if _depth_first(node) else (0, 1, 3, 5, 2, 4)
    _emit_blocks(builder, node, x, split, perm, shape)


def _depth_first(node: OnnxNode) -> bool:
    """Whether a block's positions are the outer part of the channel's number (DCR), or the inner
    (CRD)."""
    mode = node.text("mode", "DCR")
    if mode not in ("DCR", "CRD"):
        raise RefusedError(f"mode must be DCR or CRD, not {mode}")
    return mode == "DCR"


def _image(node: OnnxNode, x: Value) -> tuple[int, int, int, int, int]:
    """The four lengths of an image and the block size."""
    size = node.integer("blocksize", 0)
    if len(x.shape) != 4 or size < 1:
        raise RefusedError(
            f"input must have 4 dimensions and blocksize be at least 1, not {list(x.shape)} "
            f"and {size}"
        )
    n, c, h, w = x.shape
    return n, c, h, w, size


def _emit_blocks(
    builder: GraphBuilder, node: OnnxNode, x: Value, split: Shape, perm: Shape, shape: Shape
) -> None:
    assert prod(split) == prod(shape)
    parts = builder.value(view(builder, node, x, split, builder.fresh(f"{node.output}_split")))
    turned = tuple(split[d] for d in perm)
    output = builder.fresh(f"{node.output}_turned")
    moved = emit_move(builder, node, parts, "Transpose", {"perm": perm}, turned, output)
    view(builder, node, builder.value(moved), shape)
