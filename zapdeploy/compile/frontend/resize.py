"""Resize: to the nearest element, or by linear interpolation."""

from __future__ import annotations

import numpy as np

from zapdeploy.compile.frontend.draft import Draft
from zapdeploy.compile.frontend.errors import RefusedError
from zapdeploy.compile.frontend.movement import emit_move, view
from zapdeploy.compile.frontend.onnx_node import OnnxNode
from zapdeploy.compile.frontend.registry import translates
from zapdeploy.compile.graph import Array, Attribute, Value
from zapdeploy.errors import ModelError

_COORDINATES = (
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
)  # fmt: skip
_ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@translates("Resize")
def resize(draft: Draft, node: OnnxNode) -> None:
    """A Take of the nearest elements, or a Resize between neighbours, with tables made here."""
    x = draft.value(node.required(0))
    mode = node.text("mode", "nearest")
    _refuse_others(node, mode)
    shape, scales = _lengths(draft, node, x)
    if not all(shape):
        raise ModelError(f"sizes must be at least 1, not {list(shape)} (node '{node.name}')")
    places = {
        d: _places(node, x.shape[d], shape[d], np.float32(scales[d]))
        for d in range(len(shape))
        if shape[d] != x.shape[d] or scales[d] != 1
    }
    if not places:
        view(draft, node, x, shape)
        return
    attributes: dict[str, Attribute] = {"axes": tuple(places)}
    if mode == "nearest":
        nearest = [_rounded(node, p, x.shape[d]) for d, p in places.items()]
        attributes["indices"] = tuple(np.concatenate(nearest).tolist())
        emit_move(draft, node, x, "Take", attributes, shape)
        return
    inside = [np.clip(p, 0, x.shape[d] - 1) for d, p in places.items()]
    low = np.floor(np.concatenate(inside)).astype(np.int64)
    attributes["indices"] = tuple(low.tolist())
    attributes["fractions"] = tuple((np.concatenate(inside) - low).tolist())
    draft.emit(node, "Resize", (draft.real(x.name).name,), attributes, shape=shape)


def _refuse_others(node: OnnxNode, mode: str) -> None:
    coordinates = node.text("coordinate_transformation_mode", "half_pixel")
    policy = node.text("keep_aspect_ratio_policy", "stretch")
    rounding = node.text("nearest_mode", "round_prefer_floor")
    for name, found, possible in (
        ("mode", mode, ("nearest", "linear")),
        ("coordinate_transformation_mode", coordinates, _COORDINATES),
        ("keep_aspect_ratio_policy", policy, ("stretch",)),
        ("nearest_mode", rounding, _ROUNDINGS),
    ):
        if found not in possible:
            raise RefusedError(f"{name} must be {' or '.join(possible)}, not {found}")
    if node.integer("antialias", 0):
        raise RefusedError("antialias must be 0")


def _lengths(draft: Draft, node: OnnxNode, x: Value) -> tuple[tuple[int, ...], list[float]]:
    """The output's shape, and how much longer it is along each dimension."""
    rank = len(x.shape)
    axes = [axis % rank for axis in node.integers("axes", tuple(range(rank)))]
    shape, scales = list(x.shape), [1.0] * rank
    by_scale = bool(node.input(2)) and draft.array(node.input(2), "scales").size > 0
    given = draft.array(node.required(2 if by_scale else 3), "scales or sizes").ravel()
    if len(given) != len(axes):
        raise ModelError(
            f"scales or sizes must be {len(axes)} numbers, not {len(given)} (node '{node.name}')"
        )
    for axis, value in zip(axes, given, strict=True):
        shape[axis] = int(x.shape[axis] * np.float32(value)) if by_scale else int(value)
        scales[axis] = float(value) if by_scale else int(value) / x.shape[axis]
    if by_scale and min(scales) <= 0:
        raise ModelError(f"scales must be positive, not {scales} (node '{node.name}')")
    return tuple(shape), scales


def _places(node: OnnxNode, length: int, out: int, scale: np.float32) -> Array:
    """Where in the input each output position lies, in float32 as ONNX Runtime computes it."""
    mode = node.text("coordinate_transformation_mode", "half_pixel")
    position, half = np.arange(out, dtype=np.float32), np.float32(0.5)
    if mode == "asymmetric":
        return position / scale
    if mode == "align_corners":
        return position * np.float32(length - 1) / np.float32(max(out - 1, 1))
    if mode == "pytorch_half_pixel" and out == 1:
        return np.zeros(1, np.float32)
    centred = (position + half) / scale - half
    if mode == "half_pixel_symmetric":
        missing = np.float32(1) - np.float32(out) / (scale * np.float32(length))
        return np.asarray(np.float32(length / 2) * missing + centred)
    return np.asarray(centred)


def _rounded(node: OnnxNode, places: Array, length: int) -> Array:
    """The nearest index inside the input; a tie goes as `nearest_mode` says."""
    mode = node.text("nearest_mode", "round_prefer_floor")
    if mode == "floor":
        found = np.floor(places)
    elif mode == "ceil":
        found = np.ceil(places)
    else:
        down, up = np.ceil(places - np.float32(0.5)), np.floor(places + np.float32(0.5))
        found = down if mode == "round_prefer_floor" else up
    return np.clip(found, 0, length - 1).astype(np.int64)
