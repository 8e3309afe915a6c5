"""Named columns from CSV, Parquet and .npz files: numbers stay whole numbers, names stay text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import load_arrays
from zapdeploy.errors import DataError
from zapdeploy.extras import load

Columns = dict[str, NDArray[Any]]
ENDINGS = (".csv", ".tsv", ".txt", ".parquet", ".npz")


def read_columns(path: Path) -> Columns:
    """Columns by name in small letters. Raises DataError where it is no table with a header."""
    arrays = load_arrays(path) if path.suffix == ".npz" else _table(path)
    found = {name.strip().lower(): np.asarray(values) for name, values in arrays.items()}
    for name, values in found.items():
        if values.dtype.kind == "S":
            found[name] = np.char.decode(values, "utf-8")
    return found


def choose(columns: Columns, names: tuple[str, ...]) -> NDArray[Any] | None:
    """The first column that has one of these names."""
    return next((columns[name] for name in names if name in columns), None)


def need(columns: Columns, names: tuple[str, ...], what: str, where: str) -> NDArray[Any]:
    """The same, or DataError saying which names there are."""
    found = choose(columns, names)
    if found is None:
        there = ", ".join(columns) or "none"
        raise DataError(
            f"{what} must be in a column called {', '.join(names[:3])} or the like, not missing "
            f"among {there[:120]} ({where}); rename the column"
        )
    return found


def floats(values: NDArray[Any], what: str, where: str) -> NDArray[np.float64]:
    """A column as finite numbers, or DataError naming the first row that is none."""
    try:
        numbers = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise DataError(
            f"{what} must be numbers, not {values.dtype} such as '{str(values[0])[:30]}' ({where})"
        ) from None
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if wrong.size:
        raise DataError(
            f"{what} must be finite, not {numbers[wrong[0]]} (row {wrong[0] + 1} of the data, "
            f"{wrong.size} in all, {where}); remove or repair these rows"
        )
    return numbers


def identities(*columns: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Columns of identities in one form: whole numbers where all are, else texts."""
    whole = [_whole(values) for values in columns]
    if all(values is not None for values in whole):
        return tuple(np.asarray(values) for values in whole)
    return tuple(names(values) for values in columns)


def names(values: NDArray[Any]) -> NDArray[np.str_]:
    """Identities as text: whole numbers without a point, texts without blanks around them."""
    numbers = _whole(values)
    if numbers is not None:
        return numbers.astype(np.str_)
    return np.char.strip(np.array(["" if v is None else str(v) for v in values], np.str_))


def _whole(values: NDArray[Any]) -> NDArray[np.int64] | None:
    """As whole numbers, where they are; None otherwise."""
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    exact = values.dtype.kind == "f" and values.size and np.all(values == np.floor(values))
    return values.astype(np.int64) if exact and np.abs(values).max() < 2**53 else None


def _table(path: Path) -> Columns:
    load("pyarrow", "connectomes", f"read {path.name}")
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    try:
        if path.suffix == ".parquet":
            table = pyarrow.parquet.read_table(path)
        else:
            with path.open(encoding="utf-8", errors="replace") as file:
                first = file.readline()
            delimiter = max(",;\t", key=first.count)
            options = pyarrow.csv.ParseOptions(delimiter=delimiter)
            table = pyarrow.csv.read_csv(path, parse_options=options)
    except (pyarrow.ArrowException, OSError) as error:
        line = " ".join(str(error).split())[:160]
        raise DataError(f"table must be readable, not damaged: {line} ({path})") from None
    return {
        name: column.to_numpy(zero_copy_only=False)
        if hasattr(column, "to_numpy")
        else np.asarray(column)
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
