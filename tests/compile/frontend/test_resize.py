"""Resize against ONNX Runtime, and its places against ONNX's definition in exact numbers."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.compile.frontend.test_indexing import equal, ints, one
from zapdeploy.compile.frontend import import_model
from zapdeploy.errors import ModelError

COORDINATES = (
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
)  # fmt: skip
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def place(mode: str, position: int, length: int, out: int, scale: Fraction) -> Fraction:
    """ONNX's text for coordinate_transformation_mode, line by line, as real numbers."""
    x = Fraction(position)
    if mode == "half_pixel":
        return (x + Fraction(1, 2)) / scale - Fraction(1, 2)
    if mode == "half_pixel_symmetric":
        output_width = scale * length
        adjustment = out / output_width
        center = Fraction(length) / 2
        offset = center * (1 - adjustment)
        return offset + (x + Fraction(1, 2)) / scale - Fraction(1, 2)
    if mode == "pytorch_half_pixel":
        return (x + Fraction(1, 2)) / scale - Fraction(1, 2) if out > 1 else Fraction(0)
    if mode == "align_corners":
        return x * (length - 1) / (out - 1) if out > 1 else Fraction(0)
    return x / scale


def nearest(rounding: str, where: Fraction, length: int) -> int:
    """ONNX's text for nearest_mode, with places outside taken to the edge."""
    fraction = where - math.floor(where)
    down = {"floor": True, "ceil": fraction == 0}.get(rounding, fraction < Fraction(1, 2))
    if fraction == Fraction(1, 2) and rounding == "round_prefer_floor":
        down = True
    return min(max(math.floor(where) + (not down), 0), length - 1)


def float32_decides(places: list[Fraction], rounding: str, scale: Fraction) -> bool:
    """Whether some place lies just where the index changes, and float32 can miss it."""
    if Fraction(float(np.float32(scale))) == scale:
        return False
    edge = Fraction(0) if rounding in ("floor", "ceil") else Fraction(1, 2)
    return any(where - math.floor(where) == edge for where in places)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_resize(tmp_path: Path, data: Any) -> None:
    """To nearest in every bit; linear as real numbers, since codes fall on ties too often."""
    shape = (1, 2, data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6)))
    mode = data.draw(st.sampled_from(("nearest", "linear")))
    coordinates = data.draw(st.sampled_from(COORDINATES))
    rounding = data.draw(st.sampled_from(ROUNDINGS))
    sizes = [data.draw(st.integers(1, 12)) for _ in range(2)]
    # Whole multiples or sizes: elsewhere the reference's own roundings differ from mode to mode.
    if data.draw(st.booleans()):
        scales = [float(data.draw(st.integers(1, 3))) for _ in range(2)]
        more: list[Any] = [None, np.float32([1, 1, *scales])]
    else:
        more = [None, None, ints(1, 2, *sizes)]
        for length, out in zip(shape[2:], sizes, strict=True):
            scale = Fraction(out, length)
            places = [place(coordinates, at, length, out, scale) for at in range(out)]
            assume(mode == "linear" or not float32_decides(places, rounding, scale))
    file = one(
        "Resize",
        shape,
        *more,
        real_output=mode == "linear",
        mode=mode,
        coordinate_transformation_mode=coordinates,
        nearest_mode=rounding,
    )
    graph = equal(tmp_path, file, shape, rounding=0 if mode == "nearest" else 1e-5)
    assert {n.op for n in graph.nodes} <= {"Quantize", "Take", "Resize", "Reshape", "Dequantize"}


def indices(tmp_path: Path, length: int, more: list[Any], **modes: str) -> list[int]:
    """What a Resize of `length` elements takes, in order."""
    file = one("Resize", (1, 1, 1, length), *more, mode="nearest", **modes)
    takes = [n for n in import_model(file.save(tmp_path / "m.onnx")).graph.nodes if n.op == "Take"]
    if not takes:
        return list(range(length))
    found = takes[0].attributes["indices"]
    assert isinstance(found, tuple)
    return [int(index) for index in found]  # type: ignore[arg-type]


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_nearest_elements_are_those_of_the_definition(
    tmp_path: Path, coordinates: str, rounding: str
) -> None:
    """Also where a place is a whole number or a half: float32 falls to either side of it."""
    modes = {"coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
    pairs = [(3, 1), (7, 1), (7, 2), (10, 6), (7, 9), (7, 19), (11, 15), (7, 18), (2, 5), (5, 5)]
    for length, out in pairs:
        scale = Fraction(out, length)
        expected = [
            nearest(rounding, place(coordinates, at, length, out, scale), length)
            for at in range(out)
        ]
        assert indices(tmp_path, length, [None, None, ints(1, 1, 1, out)], **modes) == expected


@pytest.mark.parametrize("coordinates", COORDINATES)
def test_scales_are_the_numbers_that_the_file_holds(tmp_path: Path, coordinates: str) -> None:
    """float32 holds 0.1 as a little more, so that ten outputs fit into a hundred elements."""
    for length, factor in product((10, 30), (0.1, 0.3, 1.7)):
        value = np.float32(factor)
        out, scale = int(length * value), Fraction(float(value))
        expected = [
            nearest("floor", place(coordinates, at, length, out, scale), length)
            for at in range(out)
        ]
        modes = {"coordinate_transformation_mode": coordinates, "nearest_mode": "floor"}
        assert indices(tmp_path, length, [None, np.float32([1, 1, 1, value])], **modes) == expected


def test_one_of_three_is_the_middle(tmp_path: Path) -> None:
    """1.5 - 0.5 = 1, by hand. ONNX Runtime 1.32 has 0.9999999 in float32, and takes the first."""
    modes = {"coordinate_transformation_mode": "half_pixel_symmetric", "nearest_mode": "floor"}
    more = [None, None, ints(1, 1, 1, 1)]
    assert indices(tmp_path, 3, more, **modes) == [1]


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_scales_must_be_positive_numbers(tmp_path: Path, value: float) -> None:
    file = one("Resize", (1, 1, 1, 3), None, np.float32([1, 1, 1, value]), mode="nearest")
    with pytest.raises(ModelError, match="scales must be positive numbers"):
        import_model(file.save(tmp_path / "model.onnx"))


def test_resize_of_some_axes(tmp_path: Path) -> None:
    file = one("Resize", (1, 2, 4, 3), None, None, ints(7), mode="nearest", axes=[-1])
    (take,) = (n for n in equal(tmp_path, file, (1, 2, 4, 3)).nodes if n.op == "Take")
    assert take.attributes["axes"] == (3,)
