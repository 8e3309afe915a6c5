"""Tables as text (.csv, .tsv, .txt) and Parquet: a column for each neuron, or a row.

A column of times, called time, timestamp, t or the like, gives the frame rate and is no neuron.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import DataError
from zapdeploy.recordings.extras import need
from zapdeploy.recordings.options import ReadOptions
from zapdeploy.recordings.places import Place
from zapdeploy.recordings.source import Source, described, with_description

NAME = "table"
ENDINGS = (".csv", ".tsv", ".txt", ".parquet")
TIMES = {"time", "times", "timestamp", "timestamps", "t", "time_s", "time (s)", "seconds", "sec"}
COUNTERS = {"frame", "frames", "index", "", "unnamed: 0", "#"}
DELIMITERS = ",;\t"


def claims(place: Place) -> bool:
    return place.is_file and place.ends_with(*ENDINGS)


def read(place: Place, options: ReadOptions) -> Source:
    names, columns, has_header = read_table(place.local, place.location)
    lower = [name.strip().lower() for name in names]
    times = next((i for i, name in enumerate(lower) if has_header and name in TIMES), None)
    kept = [i for i, name in enumerate(lower) if not (has_header and name in TIMES | COUNTERS)]
    if not kept:
        raise DataError(
            f"table must have a column for each neuron, not only {', '.join(names)} "
            f"({place.location})"
        )
    values = np.stack([columns[i] for i in kept], axis=1)
    times_s = None if times is None else columns[times].astype(np.float64)
    source = described(
        values,
        place.location,
        place.name.rsplit(".", 1)[-1],
        options,
        neurons_first=False if has_header else None,
        times_s=times_s,
    )
    if has_header and not source.neurons_first:
        return with_description(source, neuron_ids=tuple(names[i] for i in kept))
    return source


def read_table(path: Path, where: str) -> tuple[list[str], list[NDArray[Any]], bool]:
    """Names, columns of numbers, and whether the names are the file's own."""
    need("pyarrow", where)
    if path.suffix == ".parquet":
        names, columns = _parquet(path, where)
        return names, columns, True
    return _text(path, where)


def _parquet(path: Path, where: str) -> tuple[list[str], list[NDArray[Any]]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise _unreadable("Parquet file", where, error) from None
    return list(table.column_names), _numbers(table, where)


def _text(path: Path, where: str) -> tuple[list[str], list[NDArray[Any]], bool]:
    import pyarrow
    import pyarrow.csv

    with path.open(encoding="utf-8", errors="replace") as file:
        first = file.readline().strip("\ufeff\r\n")
    delimiter = max(DELIMITERS, key=first.count)
    if not first.count(delimiter) and len(first.split()) > 1:
        delimiter = " "
    has_header = not all(_is_number(part) for part in first.split(delimiter))
    try:
        table = pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(autogenerate_column_names=not has_header),
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter),
            convert_options=pyarrow.csv.ConvertOptions(null_values=["", "nan", "NaN", "NA", "N/A"]),
        )
    except (pyarrow.ArrowException, OSError) as error:
        raise _unreadable("table", where, error) from None
    return list(table.column_names), _numbers(table, where), has_header


def _numbers(table: Any, where: str) -> list[NDArray[Any]]:
    import pyarrow

    found = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        if not (pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind)
                or pyarrow.types.is_null(kind) or pyarrow.types.is_boolean(kind)):  # fmt: skip
            said = next((str(v) for v in column if v.is_valid), "nothing")
            raise DataError(
                f"table must hold numbers, not '{said[:40]}' (column '{name}', {where}); remove "
                "what is no activity"
            )
        floats = column.cast(pyarrow.float64()) if kind != pyarrow.float32() else column
        values = floats.to_numpy(zero_copy_only=False) if hasattr(floats, "to_numpy") else floats
        found.append(np.asarray(values))
    return found


def _is_number(text: str) -> bool:
    try:
        float(text.strip().strip('"') or "nan")
    except ValueError:
        return False
    return True


def _unreadable(what: str, where: str, error: Exception) -> DataError:
    line = " ".join(str(error).split())[:160]
    return DataError(f"{what} must be readable, not damaged: {line} ({where}); save it again")
