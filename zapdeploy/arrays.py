"""Named arrays in .npz files: read without executing anything, written whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import DataError, ZapdeployError
from zapdeploy.files import atomic_write, require_regular

Array = NDArray[Any]  # of any type
Floats = NDArray[np.float32]  # what networks compute with
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Arrays = Mapping[str, Array]  # by name, as inputs and outputs are

ONLY = ""  # the name of an array that came without one: the only input's


def load_arrays(path: Path, wanted: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file by name; the array of an .npy file under the name `ONLY`.

    Raises DataError; pickled objects are refused, and so are names that are not `wanted`, before
    their arrays are read.
    """
    require_regular(path, DataError, "file")
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return {ONLY: found}
        with found as archive:
            _check_members(archive.zip, wanted)
            return {name: _numbers(archive[name], name) for name in archive.files}
    except OSError as error:
        reason = error.strerror or "it is not an .npz archive"
        raise DataError(f"file '{path}' must be readable: {reason}") from None
    except ZapdeployError as error:
        raise DataError(f"{error} ('{path}')") from None
    except Exception as error:  # of zipfile, zlib and NumPy: damage has no type of its own
        reason = str(error) or type(error).__name__
        raise DataError(f"file '{path}' must be an .npz archive of numbers: {reason}") from None


def _check_members(archive: Any, wanted: Collection[str] | None) -> None:
    """Raise DataError, before anything is unpacked, for arrays that nobody asked for, that are
    encrypted, or that promise more than the file holds."""
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        if wanted is not None and name not in wanted:
            listed = ", ".join(f"'{each}'" for each in wanted)
            raise DataError(f"inputs must be {listed}, not '{name}'; leave it out")
        if member.flag_bits & 1:
            raise DataError(f"array '{name}' must not be encrypted; save it again")
        with archive.open(member) as file:
            version = np.lib.format.read_magic(file)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read(file)
            held = member.file_size - file.tell()
        if dtype.hasobject:
            raise DataError(f"array '{name}' must hold numbers, not Python objects")
        promised = prod(shape) * dtype.itemsize
        if promised > held:
            raise DataError(
                f"array '{name}' must have the {promised:,} bytes of its shape {list(shape)}, "
                f"not {held:,}; save it again"
            )


def _numbers(found: Any, name: str) -> NDArray[Any]:
    if not isinstance(found, np.ndarray):
        raise DataError(f"member '{name}' must be an array")
    return found


def named(arrays: Mapping[str, NDArray[Any]], inputs: Sequence[str]) -> Mapping[str, NDArray[Any]]:
    """Arrays by the names of inputs. One without a name must be the only input's, or DataError."""
    if ONLY not in arrays:
        return arrays
    if len(inputs) != 1:
        listed = ", ".join(f"'{name}'" for name in inputs)
        raise DataError(
            f"a single array (.npy) must be for a network with one input, not {len(inputs)} "
            f"({listed}); give an .npz file with an array for each"
        )
    return {inputs[0]: arrays[ONLY]}


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an .npz file, or nothing."""
    with atomic_write(path) as file:
        np.savez(file, **dict(arrays))  # type: ignore[arg-type]
