"""From what a caller gives to a prepared layer: zero points, bias, types, choice of kernel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zapdeploy.arrays import Array
from zapdeploy.compile.kernels import blas, packed
from zapdeploy.compile.kernels.instruction_sets import host_instruction_sets
from zapdeploy.compile.kernels.product import Layer, Product
from zapdeploy.errors import DataError

_chosen: str | None = None


def available_backends() -> tuple[str, ...]:
    """The backends that this machine can run, the fastest first."""
    return (*(each.name for each in host_instruction_sets()), "blas")


def set_backend(name: str | None) -> None:
    """Prepare later layers with this backend where it supports them; None for the fastest."""
    global _chosen
    if name is not None:
        _require_backend(name)
    _chosen = name


def choose_product(layer: Layer, backend: str | None) -> Product:
    """The layer in the named backend, or in the fastest one that supports it.

    Raises DataError when the named backend is not there or does not support the layer.
    """
    if backend is None:
        narrow = packed.supports(layer)
        backend = (_chosen or available_backends()[0]) if narrow else "blas"
    _require_backend(backend)
    if backend == "blas":
        return blas.BlasProduct(layer)
    if not packed.supports(layer):
        raise DataError(
            f"operands must be 8 bits wide for backend '{backend}', not {layer.x_dtype}"
        )
    how = next(each for each in host_instruction_sets() if each.name == backend)
    return packed.PackedProduct(layer, how)


def _require_backend(name: str) -> None:
    if name not in available_backends():
        raise DataError(f"backend must be one of {available_backends()}, not {name!r}")


def require_integers(weights: Array, x_dtype: npt.DTypeLike, x_zero_point: int) -> None:
    """Raise DataError unless both operands are integers, the zero point a value of the input's."""
    if not np.issubdtype(weights.dtype, np.integer) or weights.size == 0:
        raise DataError(
            f"weights must be integers, at least one, not {weights.dtype} {weights.shape}"
        )
    if not np.issubdtype(np.dtype(x_dtype), np.integer):
        raise DataError(f"input must have an integer type, not {np.dtype(x_dtype)}")
    limits = np.iinfo(np.dtype(x_dtype))
    if not limits.min <= x_zero_point <= limits.max:
        raise DataError(
            f"input zero point must lie within {limits.min}..{limits.max}, not {x_zero_point}"
        )


def subtract_zero_point(weights: Array, zero_point: npt.ArrayLike, axis: int) -> Array:
    """weights - zero_point, with one zero point or one for each place along `axis`.

    Without a shift, int8 stays int8; 8-bit weights become int16, wider ones int64.
    """
    shift = np.asarray(zero_point).astype(np.int64)
    if not shift.any() and weights.dtype == np.int8:
        return weights
    if shift.size not in (1, weights.shape[axis]):
        raise DataError(
            f"weight zero point must have 1 or {weights.shape[axis]} values, not {shift.size}"
        )
    shape = [1] * weights.ndim
    shape[axis] = shift.size
    narrow = weights.dtype.itemsize == 1 and np.abs(shift).max() <= 255
    wide = np.int16 if narrow else np.int64
    shifted: Array = weights.astype(wide) - shift.reshape(shape).astype(wide)
    return shifted


def bias_or_zero(bias: npt.ArrayLike | None, count: int) -> npt.NDArray[np.int32]:
    """int32 [count]."""
    if bias is None:
        return np.zeros(count, dtype=np.int32)
    values = np.asarray(bias)
    if values.shape != (count,):
        raise DataError(f"bias must have shape ({count},), not {values.shape}")
    return values.astype(np.int32)
