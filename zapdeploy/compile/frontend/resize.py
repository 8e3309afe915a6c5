"""Resize: to the nearest element, or by linear interpolation."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from zapdeploy.compile.frontend.errors import RefusedError
from zapdeploy.compile.frontend.graph_builder import GraphBuilder
from zapdeploy.compile.frontend.movement import emit_move, view
from zapdeploy.compile.frontend.onnx_node import OnnxNode
from zapdeploy.compile.frontend.registry import translates
from zapdeploy.compile.graph import Attribute, Value
from zapdeploy.errors import ModelError

_COORDINATES = (
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
)  # fmt: skip
_ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")

_WHOLE = 1e-3  # a scale in float32 gives a whole length no closer than this


@translates("Resize")
def resize(builder: GraphBuilder, node: OnnxNode) -> None:
    """A Take of the nearest elements, or a Resize between neighbours, with tables made here."""
    x = builder.value(node.required(0))
    mode = node.text("mode", "nearest")
    _refuse_others(node, mode)
    shape, scales = _lengths(builder, node, x)
    if not all(shape):
        raise ModelError(f"sizes must be at least 1, not {list(shape)} (node '{node.name}')")
    places = {
        d: _places(node, x.shape[d], shape[d], scales[d])
        for d in range(len(shape))
        if shape[d] != x.shape[d] or scales[d] != 1
    }
    if not places:
        view(builder, node, x, shape)
        return
    attributes: dict[str, Attribute] = {"axes": tuple(places)}
    if mode == "nearest":
        attributes["indices"] = tuple(
            index for d, p in places.items() for index in _rounded(node, p, x.shape[d])
        )
        emit_move(builder, node, x, "Take", attributes, shape)
        return
    inside = [min(max(p, Fraction(0)), Fraction(x.shape[d] - 1)) for d in places for p in places[d]]
    attributes["indices"] = tuple(math.floor(p) for p in inside)
    attributes["fractions"] = tuple(float(p - math.floor(p)) for p in inside)
    builder.emit(node, "Resize", (builder.real(x.name).name,), attributes, shape=shape)


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


def _lengths(
    builder: GraphBuilder, node: OnnxNode, x: Value
) -> tuple[tuple[int, ...], list[Fraction]]:
    """The output's shape, and how much longer it is along each dimension."""
    rank = len(x.shape)
    axes = [axis % rank for axis in node.integers("axes", tuple(range(rank)))]
    shape, scales = list(x.shape), [Fraction(1)] * rank
    by_scale = bool(node.input(2)) and builder.array(node.input(2), "scales").size > 0
    given = builder.array(node.required(2 if by_scale else 3), "scales or sizes").ravel()
    if len(given) != len(axes):
        raise ModelError(
            f"scales or sizes must be {len(axes)} numbers, not {len(given)} (node '{node.name}')"
        )
    if by_scale and not (np.isfinite(given).all() and (given > 0).all()):
        raise ModelError(
            f"scales must be positive numbers, not {given.tolist()} (node '{node.name}')"
        )
    for axis, value in zip(axes, given, strict=True):
        shape[axis] = int(x.shape[axis] * np.float32(value)) if by_scale else int(value)
        scales[axis] = Fraction(float(value)) if by_scale else Fraction(int(value), x.shape[axis])
    return tuple(shape), scales


def _places(node: OnnxNode, length: int, out: int, scale: Fraction) -> list[Fraction]:
    """Where in the input each output position lies, exactly.

    ONNX defines places as real numbers. In float32 one that is a whole number can come out just
    below it, and `floor` then takes the element before: so does ONNX Runtime 1.32 where 3 elements
    become 1 under half_pixel_symmetric (1.5 - 0.5 = 0.9999999).
    """
    mode, half = node.text("coordinate_transformation_mode", "half_pixel"), Fraction(1, 2)
    if mode == "asymmetric":
        return [position / scale for position in range(out)]
    if mode == "align_corners":
        if out > 1 and abs(float(scale * length) - out) > _WHOLE:
            found = f"{float(scale * length):g}"
            raise RefusedError(
                f"align_corners with scales must give whole lengths, not {found}, for which "
                "ONNX and ONNX Runtime differ; give sizes"
            )
        return [Fraction(position * (length - 1), max(out - 1, 1)) for position in range(out)]
    if mode == "pytorch_half_pixel" and out == 1:
        return [Fraction(0)]
    start = -half
    if mode == "half_pixel_symmetric":
        start += Fraction(length, 2) * (1 - out / (scale * length))
    return [start + (position + half) / scale for position in range(out)]


def _rounded(node: OnnxNode, places: list[Fraction], length: int) -> list[int]:
    """The nearest index inside the input; a tie goes as `nearest_mode` says."""
    mode, half = node.text("nearest_mode", "round_prefer_floor"), Fraction(1, 2)
    found = {
        "floor": math.floor,
        "ceil": math.ceil,
        "round_prefer_floor": lambda place: math.ceil(place - half),
        "round_prefer_ceil": lambda place: math.floor(place + half),
    }[mode]
    return [min(max(found(place), 0), length - 1) for place in places]
