"""Exact integer convolution, with or without requantization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zapdeploy.arrays import Array
from zapdeploy.compile.kernels import depthwise
from zapdeploy.compile.kernels.gather import Window, convolution_gather
from zapdeploy.compile.kernels.layout import to_channels_first, to_channels_last
from zapdeploy.compile.kernels.operands import padded
from zapdeploy.compile.kernels.prepare import (
    bias_or_zero,
    choose_product,
    require_integers,
    subtract_zero_point,
)
from zapdeploy.compile.kernels.product import Layer, Product
from zapdeploy.compile.kernels.requantization import Requantization
from zapdeploy.errors import DataError


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution with its weights prepared; call it with x [N, C, ...] for [N, O, ...]."""

    window: Window
    x_dtype: np.dtype[Any]
    x_zero_point: int
    product: Product

    def __call__(self, x: Array) -> Array:
        """x: [N, C, ...] of x_dtype in any layout, best with its channels as neighbours in memory.

        int32 accumulators, or 8-bit values if prepared with a requantization: [N, O, ...], with the
        channels as neighbours in memory.
        """
        if (
            x.dtype != self.x_dtype
            or x.ndim != 2 + len(self.window.kernel)
            or x.shape[1] != self.window.channels
        ):
            raise DataError(
                f"input must be {self.x_dtype} with {self.window.channels} channels and "
                f"{len(self.window.kernel)} spatial axes, not {x.dtype} {x.shape}"
            )
        gather = convolution_gather(self.window, x.shape[0], x.shape[2:])
        out = self.product(self._flat_input(to_channels_last(x), gather.run), gather)
        return to_channels_first(out.reshape(*gather.row_shape, out.shape[-1]))

    def _flat_input(self, x: Array, run: int) -> Array:
        """x [N, ..., C] flat and padded, as the product wants it; x itself where possible."""
        as_it_is = (
            not any(self.window.pads)
            and self.product.operand == x.dtype
            and run % self.product.step == 0
        )
        if as_it_is and x.flags.c_contiguous and x.flags.writeable:
            return x.reshape(-1)
        return padded(x, self.window, self.x_zero_point, self.product.operand, self.product.step)


def prepare_conv(
    w: Array,
    *,
    x_dtype: npt.DTypeLike,
    x_zero_point: int = 0,
    w_zero_point: npt.ArrayLike = 0,
    bias: npt.ArrayLike | None = None,
    strides: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    groups: int = 1,
    requantization: Requantization | None = None,
    backend: str | None = None,
) -> Convolution:
    """Prepare a convolution for repeated frames.

    w: integers [O, C / groups, ...], 1 to 3 spatial axes or more
    x_dtype: of the inputs to come; uint8 is fastest, int8 costs one copy of the input
    w_zero_point: scalar or [O]. bias: int32 [O]
    strides, dilations: one per spatial axis, 1 if None. pads: beginnings, then ends, 0 if None
    requantization: None for int32 accumulators; else its multiplier is a scalar or [O]
    backend: None for the fastest
    Raises DataError when shapes, counts or types do not fit.
    """
    require_integers(w, x_dtype, x_zero_point)
    axes = w.ndim - 2
    if axes < 1 or groups < 1 or w.shape[0] % groups:
        raise DataError(
            f"weights must be [O, C / groups, ...] with O divisible by {groups}, not {w.shape}"
        )
    window = Window(
        channels=w.shape[1] * groups,
        kernel=w.shape[2:],
        strides=_per_axis("strides", strides, axes, 1),
        dilations=_per_axis("dilations", dilations, axes, 1),
        pads=_per_axis("pads", pads, 2 * axes, 0),
        groups=groups,
    )
    layer = Layer(
        weights=_in_gather_order(subtract_zero_point(w, w_zero_point, axis=0), window),
        bias=bias_or_zero(bias, w.shape[0]).reshape(groups, -1),
        x_dtype=np.dtype(x_dtype),
        x_zero_point=int(x_zero_point),
        requantization=requantization,
    )
    alone = backend is None and depthwise.supports(layer)
    product = depthwise.DepthwiseProduct(layer) if alone else choose_product(layer, backend)
    return Convolution(window, layer.x_dtype, layer.x_zero_point, product)


def _per_axis(name: str, values: Sequence[int] | None, count: int, default: int) -> tuple[int, ...]:
    if values is None:
        return (default,) * count
    if len(values) != count or min(values) < default:
        raise DataError(
            f"{name} must be {count} integers of at least {default}, not {list(values)}"
        )
    return tuple(int(value) for value in values)


def _in_gather_order(w: Array, window: Window) -> Array:
    """w [O, C / groups, ...] as [G, O / G, T, L]."""
    last = to_channels_last(w)
    taps = window.kernel[:-1] if window.merges_last_axis else window.kernel
    count = int(np.prod(taps, dtype=np.int64))
    return last.reshape(window.groups, w.shape[0] // window.groups, count, -1)


def conv(
    x: Array,
    w: Array,
    *,
    x_zero_point: int = 0,
    w_zero_point: npt.ArrayLike = 0,
    bias: npt.ArrayLike | None = None,
    strides: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    groups: int = 1,
    requantization: Requantization | None = None,
    backend: str | None = None,
) -> Array:
    """`prepare_conv` and one call: [N, O, ...] for x [N, C, ...]."""
    prepared = prepare_conv(
        w, x_dtype=x.dtype, x_zero_point=x_zero_point, w_zero_point=w_zero_point, bias=bias,
        strides=strides, dilations=dilations, pads=pads, groups=groups,
        requantization=requantization, backend=backend,
    )  # fmt: skip
    return prepared(x)
