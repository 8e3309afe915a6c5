"""Which columns of a recording a forecaster's neurons are, where they are not the first so many.

A folder says it in forecaster.json, and every ONNX file made from it in its metadata under `KEY`:
whoever judges the forecaster finds there which columns to judge it on. Nothing is said of the first
so many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import DataError, ModelError

KEY = "zapdeploy.columns"
SHOWN = 3
Columns = tuple[int, ...]


def listed_columns(columns: NDArray[np.integer[Any]] | None) -> Columns | None:
    """The columns of a recording; None for the first so many in order, and where nobody knows."""
    if columns is None or np.array_equal(columns, np.arange(columns.size)):
        return None
    return tuple(columns.tolist())


def columns_text(columns: Columns) -> str:
    """As it is kept: "9,3,12"."""
    return ",".join(map(str, columns))


def parse_columns(text: str) -> Columns:
    """The inverse of `columns_text`. Raises ValueError."""
    return tuple(map(int, text.split(",")))


def columns_notes(columns: Columns | None) -> dict[str, str]:
    """What an ONNX file's metadata says of them."""
    return {} if columns is None else {KEY: columns_text(columns)}


def noted_columns(notes: Mapping[str, str], where: str) -> Columns | None:
    """What a file's metadata says of its columns. Raises ModelError when the entry is damaged."""
    if KEY not in notes:
        return None
    try:
        return parse_columns(notes[KEY])
    except ValueError as error:
        raise ModelError(
            f"metadata '{KEY}' must be whole numbers with commas between, not unreadable: {error} "
            f"({where}); export the model again"
        ) from None


def brief_columns(columns: Columns | None) -> str:
    """In few words, and yet different for different columns."""
    if columns is None:
        return "none"
    text = columns_text(columns)
    if len(columns) <= SHOWN:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{columns_text(columns[:SHOWN])},... ({len(columns)} columns, SHA-256 {digest})"


def check_columns(own: Columns | None, given: NDArray[np.integer[Any]] | None, where: str) -> None:
    """Raise DataError when a recording's columns are not those that a forecaster is of.

    Where either does not say which they are, there is nothing to compare.
    """
    if own is None or given is None or np.array_equal(given, own):
        return
    found = tuple(given.tolist())
    raise DataError(
        f"columns must be those trained on, {brief_columns(own)}, not {brief_columns(found)} "
        f"({where}); leave --neurons out, or give that list: --neuron-list FILE"
    )
