"""What the integer kernels mean, in plain int64 arithmetic, and random cases to hold them to it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from zapdeploy.compile import kernels
from zapdeploy.compile.kernels import Requantization

Array = npt.NDArray[Any]

BACKENDS: tuple[str | None, ...] = (None, *kernels.available_backends())
BYTES = (np.uint8, np.int8)

quick = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
thorough = settings(quick, max_examples=400)


def plain_conv(x: Array, w: Array, x_zero: int, w_zero: Array, attributes: Attributes) -> Array:
    """int64 [N, O, ...]: every output by its definition, one kernel position after the other."""
    axes = w.ndim - 2
    begins, ends = attributes.pads[:axes], attributes.pads[axes:]
    wide = np.pad(x.astype(np.int64) - x_zero, [(0, 0), (0, 0), *zip(begins, ends, strict=True)])
    weights = w.astype(np.int64) - w_zero.astype(np.int64).reshape(-1, *[1] * (axes + 1))
    reach = [d * (k - 1) + 1 for d, k in zip(attributes.dilations, w.shape[2:], strict=True)]
    sizes = [
        (n - r) // s + 1 for n, r, s in zip(wide.shape[2:], reach, attributes.strides, strict=True)
    ]
    inputs = wide.reshape(x.shape[0], attributes.groups, w.shape[1], *wide.shape[2:])
    grouped = weights.reshape(attributes.groups, -1, *w.shape[1:])
    out = np.zeros((x.shape[0], attributes.groups, grouped.shape[1], *sizes), dtype=np.int64)
    for place in product(*(range(k) for k in w.shape[2:])):
        seen = inputs[:, :, :, *attributes.seen_from(place, sizes)]
        out += np.einsum("ngc...,goc->ngo...", seen, grouped[:, :, :, *place])
    return out.reshape(x.shape[0], w.shape[0], *sizes)


def plain_requantize(acc: Array, multiplier: Array, how: Requantization) -> Array:
    """multiplier: float32, of a shape that broadcasts to acc."""
    low, high = how.bounds
    scaled = acc.astype(np.int32).astype(np.float32) * multiplier
    assert scaled.dtype == np.float32
    return np.clip(np.rint(scaled).astype(np.float64) + how.zero_point, low, high).astype(how.dtype)


@dataclass(frozen=True)
class Attributes:
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    groups: int

    def seen_from(self, place: tuple[int, ...], sizes: list[int]) -> list[slice]:
        """The padded inputs that one position of the kernel meets."""
        starts = [d * p for d, p in zip(self.dilations, place, strict=True)]
        return [
            slice(start, start + stride * (size - 1) + 1, stride)
            for start, stride, size in zip(starts, self.strides, sizes, strict=True)
        ]

    def for_kernels(self) -> dict[str, Any]:
        return vars(self)

    def for_onnx(self) -> dict[str, Any]:
        named = {name: list(getattr(self, name)) for name in ("strides", "dilations", "pads")}
        return {**named, "group": self.groups}


# --- Random cases -----------------------------------------------------------------------------


def integers(rng: np.random.Generator, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> Array:
    """All values of the type, and often its limits."""
    limits = np.iinfo(np.dtype(dtype))
    values = rng.integers(limits.min, limits.max + 1, shape)
    extreme = rng.choice([limits.min, limits.max], shape)
    return np.where(rng.random(shape) < 0.2, extreme, values).astype(dtype)


@dataclass(frozen=True)
class ConvCase:
    x: Array
    w: Array
    x_zero: int
    w_zero: Array
    bias: Array
    attributes: Attributes
    how: Requantization

    def arguments(self) -> dict[str, Any]:
        zeros = {"x_zero_point": self.x_zero, "w_zero_point": self.w_zero}
        return {**zeros, "bias": self.bias, **self.attributes.for_kernels()}

    def plain(self) -> Array:
        acc = plain_conv(self.x, self.w, self.x_zero, self.w_zero, self.attributes)
        return acc + self.bias.astype(np.int64).reshape(-1, *[1] * (acc.ndim - 2))

    def plain_requantized(self) -> Array:
        acc = self.plain()
        multiplier = np.asarray(self.how.multiplier, np.float32)
        if multiplier.size > 1:
            multiplier = multiplier.reshape(-1, *[1] * (acc.ndim - 2))
        return plain_requantize(acc, multiplier, self.how)


@st.composite
def requantizations(draw: st.DrawFn, channels: int) -> Requantization:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from(BYTES))
    limits = np.iinfo(dtype)
    low, high = (
        sorted(rng.integers(limits.min, limits.max + 1, 2)) if draw(st.booleans()) else (None, None)
    )
    multiplier = np.exp(rng.uniform(-12, 0, channels if draw(st.booleans()) else ())).astype(
        np.float32
    )
    return Requantization(
        multiplier, int(rng.integers(limits.min, limits.max + 1)), dtype, low, high
    )


@st.composite
def conv_cases(draw: st.DrawFn) -> ConvCase:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    axes = draw(st.sampled_from([2, 2, 2, 1, 3]))
    kind = draw(st.sampled_from(["dense", "dense", "grouped", "depthwise"]))
    groups = 1 if kind == "dense" else draw(st.integers(2, 5))
    inputs, outputs = (
        (1, 1) if kind == "depthwise" else (draw(st.integers(1, 9)), draw(st.integers(1, 40)))
    )
    kernel = tuple(int(k) for k in rng.integers(1, 4, axes))
    dilations = tuple(int(d) for d in rng.integers(1, 3, axes))
    pads = tuple(int(p) for p in rng.integers(0, 3, 2 * axes))
    spatial = tuple(int(d * k + rng.integers(0, 6)) for d, k in zip(dilations, kernel, strict=True))
    x_dtype, w_dtype = draw(st.sampled_from(BYTES)), draw(st.sampled_from(BYTES))
    x = integers(rng, x_dtype, (draw(st.integers(1, 2)), inputs * groups, *spatial))
    w = integers(rng, w_dtype, (outputs * groups, inputs, *kernel))
    zero_kind = draw(st.sampled_from(["none", "one", "per channel"]))
    w_zero = np.zeros(1, w_dtype) if zero_kind == "none" else integers(rng, w_dtype, (1,))
    if zero_kind == "per channel":
        w_zero = integers(rng, w_dtype, (w.shape[0],))
    return ConvCase(
        x=kernels.channels_last(x) if draw(st.booleans()) else x,
        w=w,
        x_zero=int(integers(rng, x_dtype, ())),
        w_zero=w_zero,
        bias=rng.integers(-(2**20), 2**20, w.shape[0]).astype(np.int32),
        attributes=Attributes(
            tuple(int(s) for s in rng.integers(1, 4, axes)), dilations, pads, groups
        ),
        how=draw(requantizations(w.shape[0])),
    )


@st.composite
def matmul_cases(draw: st.DrawFn) -> tuple[Array, Array, int, Array, Array, Requantization]:
    """x [..., M, K], w [..., K, N], zero points, bias, requantization."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    m, k, n = draw(st.integers(1, 40)), draw(st.integers(1, 70)), draw(st.integers(1, 70))
    leading = draw(
        st.sampled_from([((), ()), ((2, 3), ()), ((2, 3), (2, 3)), ((2, 1), (1, 3)), ((), (4,))])
    )
    x_dtype, w_dtype = draw(st.sampled_from(BYTES)), draw(st.sampled_from(BYTES))
    w_zero = draw(st.sampled_from([(), (1,), (n,)]))
    return (
        integers(rng, x_dtype, (*leading[0], m, k)),
        integers(rng, w_dtype, (*leading[1], k, n)),
        int(integers(rng, x_dtype, ())),
        integers(rng, w_dtype, w_zero) if w_zero else np.zeros(1, w_dtype),
        rng.integers(-(2**20), 2**20, n).astype(np.int32),
        draw(requantizations(n)),
    )
