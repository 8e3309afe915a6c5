"""Calls of the operators for images and volumes; `cases` joins them to all others."""

from __future__ import annotations

from collections.abc import Iterator

from tests.compile.ops.build import (
    INT4,
    INT8,
    UINT8,
    call,
    convolution,
    integer_bias,
    plain,
    quantized,
    real_bias,
    weights,
)
from zapdeploy.compile.graph import INT64, Attribute, Call, ElementType, Value

UINT4 = ElementType("uint", 4)
INT16 = ElementType("int", 16)


def transposed(
    x: Value, w: Value, y: Value, bias: Value | None = None, **changes: tuple[int, ...] | int
) -> Call:
    return convolution(x, w, y, bias, "ConvTranspose", **changes)


def _transposed_convolutions() -> Iterator[tuple[str, Call]]:
    x = quantized("x", (2, 4, 5, 4), UINT8, 0.021, 131)
    y = quantized("y", (), UINT8, 0.9, 117)
    w = weights((6, 4, 3, 3), 0)
    bias = integer_bias(x, w)
    yield "transposed", transposed(x, w, y, bias)
    yield "transposed strided", transposed(x, w, y, bias, strides=(2, 3), pads=(1, 0, 1, 2))
    yield "transposed with output padding", transposed(x, w, y, strides=(2, 3), pads=(1, 1, 0, -1))
    yield "transposed dilated", transposed(x, w, y, bias, strides=(2, 2), dilations=(1, 2))
    yield "transposed with gaps", transposed(x, w, y, bias, strides=(4, 2), dilations=(2, 4))
    relu = quantized("y", (), UINT8, 0.9, 117, limits=(117, 255))
    yield "transposed relu", transposed(x, w, relu, bias, strides=(2, 3))
    yield "transposed float out", transposed(x, w, plain("y", ()), real_bias(6), strides=(2, 3))
    grouped = weights((6, 2, 2, 2), 0)
    bias = integer_bias(x, grouped)
    yield "transposed grouped", transposed(x, grouped, y, bias, group=2, strides=(2, 2))
    depthwise = weights((4, 1, 4, 4), 0)
    yield "transposed depthwise", transposed(x, depthwise, y, group=4, strides=(2, 2))
    x1 = quantized("x", (1, 5, 6), INT8, 0.03, -3)
    w1 = weights((4, 5, 3), 0)
    yield "transposed 1d", transposed(x1, w1, quantized("y", (), INT8, 0.7), strides=(2,))
    x3 = quantized("x", (1, 2, 3, 4, 2), INT8, 0.03, 2)
    w3 = weights((3, 2, 1, 2, 2), 0)
    y3 = quantized("y", (), INT8, 0.8, -7)
    yield "transposed 3d", transposed(x3, w3, y3, integer_bias(x3, w3), strides=(1, 2, 2))
    x4 = quantized("x", (2, 4, 5, 4), UINT4, 0.25, 7)
    w4 = weights((6, 4, 3, 3), 0, INT4)
    yield "transposed int4", transposed(x4, w4, quantized("y", (), UINT4, 2.0, 6), strides=(2, 3))
    wide = quantized("x", (2, 4, 5, 4), INT16, 0.0004, 100)
    yield "transposed int16", transposed(wide, w, quantized("y", (), INT16, 0.002, -300))


def _selections() -> Iterator[tuple[str, Call]]:
    shape = (2, 3, 5, 4)
    x = quantized("x", shape, UINT8, 0.02, 77)
    same, other = ("y", UINT8, 0.02, 77), ("y", UINT8, 0.031, 60)
    taken: dict[str, Attribute] = {"axes": (1, 3), "indices": (2, 0, 2, 1, 0, 3, 3, 1, 2)}
    for label, (name, element, scale, zero) in (("take", same), ("take rescaled", other)):
        y = quantized(name, (2, 4, 5, 5), element, scale, zero)
        yield label, call("Take", [x], y, **taken)
    yield (
        "take nearest",
        call(
            "Take", [plain("x", (3,))], plain("y", (7,)), axes=(0,), indices=(0, 0, 0, 1, 1, 2, 2)
        ),
    )
    for label, (name, element, scale, zero) in (("tile", same), ("tile rescaled", other)):
        yield label, call("Tile", [x], quantized(name, (2, 6, 5, 12), element, scale, zero))
    yield "tile float", call("Tile", [plain("x", (1, 3))], plain("y", (4, 3)))
    indices = plain("indices", (2, 3), INT64)
    for label, y in (("gather", same), ("gather rescaled", other)):
        yield label, call("Gather", [x, indices], quantized(y[0], (), *y[1:]), axis=2)
    yield "gather float", call("Gather", [plain("x", (6, 4)), indices], plain("y", ()), axis=-2)
    yield "gather one", call("Gather", [x, plain("indices", (), INT64)], plain("y", ()), axis=1)
    each = plain("indices", (2, 3, 7, 2), INT64)
    yield "gather elements", call("GatherElements", [x, each], plain("y", ()), axis=2)


def _resizes() -> Iterator[tuple[str, Call]]:
    x = quantized("x", (1, 2, 4, 3), UINT8, 0.0217, 120)
    y = quantized("y", (1, 2, 6, 5), UINT8, 0.0113, 90)
    table: dict[str, Attribute] = {
        "axes": (2, 3),
        "indices": (0, 0, 1, 2, 2, 3, 0, 0, 1, 1, 2),
        "fractions": (0.0, 0.5, 0.25, 0.0, 1.0, 0.0, 0.0, 0.75, 0.5, 1.0, 0.0),
    }
    yield "resize", call("Resize", [x], y, **table)
    real: dict[str, Attribute] = {"axes": (1,), "indices": (2, 0), "fractions": (0.5, 0.125)}
    yield "resize float", call("Resize", [plain("x", (2, 3))], plain("y", (2, 2)), **real)


IMAGES: dict[str, Call] = {
    **dict(_transposed_convolutions()),
    **dict(_selections()),
    **dict(_resizes()),
}
