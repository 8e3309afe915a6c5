"""Named arrays in .npz files: read without executing anything, written whole."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import DataError
from zapdeploy.files import atomic_write


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file by name. Raises DataError; pickled objects are refused."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not hasattr(archive, "files"):
                raise DataError(f"file '{path}' must be an .npz archive, not a single array")
            return {name: archive[name] for name in archive.files}
    except OSError as error:
        reason = error.strerror or "it is not an .npz archive"
        raise DataError(f"file '{path}' must be readable: {reason}") from None
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"file '{path}' must be an .npz archive of numbers: {error}") from None


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an .npz file, or nothing."""
    with atomic_write(path) as file:
        np.savez(file, **dict(arrays))  # type: ignore[arg-type]
