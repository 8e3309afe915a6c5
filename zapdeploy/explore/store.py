"""Results in a folder that runs, users and machines share: Parquet files that are only added.

A writer puts a file of its own beside the others, whole or not at all, under a name that nobody
else has; nothing is locked. A row stands under the digest of what it depends on, so that two rows
of one digest say the same, and any of them will do, but for one that failed: another may have been
computed again. Many small files are joined into one now and then: the joined file is there before
the others go.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from zapdeploy.errors import DataError
from zapdeploy.explore.outcome import ENDED, FAILED, columns
from zapdeploy.extras import load
from zapdeploy.files import replacing
from zapdeploy.text import one_line

MANY = 64  # files that are joined
LARGE_BYTES = 4 * 2**20  # files from here on stay: to write all again and again takes long
Row = dict[str, Any]


class Store:
    """The results in `folder`. Raises UsageError where pyarrow is not installed."""

    def __init__(self, folder: Path) -> None:
        self._parquet = load("pyarrow.parquet", "explore", "keep results of an exploration")
        self._arrow = load("pyarrow", "explore", "keep results of an exploration")
        self.folder = Path(folder) / "results"
        self._read: set[str] = set()
        self._rows: dict[str, Row] = {}
        self._others: set[str] = set()  # files with columns of another version

    def rows(self) -> Mapping[str, Row]:
        """Every row by digest, other writers' new ones included."""
        while not all(self._take(path) for path in self._files()):
            pass  # one was joined into another meanwhile: look again
        return self._rows

    def _take(self, path: Path) -> bool:
        """Read a file that was not read before; whether it was still there."""
        if path.name in self._read:
            return True
        try:
            rows = self._parquet.read_table(path).to_pylist()
        except FileNotFoundError:
            return False
        except (self._arrow.ArrowException, OSError, ValueError) as error:
            raise DataError(
                f"results must be a Parquet file: {one_line(str(error), 200)} ({path}); remove it"
            ) from None
        if rows and rows[0].keys() != columns().keys():
            self._others.add(path.name)
        if not all(isinstance(row.get("digest"), str) for row in rows):
            raise DataError(
                f"results must stand under digests, in a column of text ({path}); remove it, or "
                "explore in a new folder"
            )
        self._learn(dict.fromkeys(columns()) | row for row in rows)
        self._read.add(path.name)
        return True

    def _learn(self, rows: Iterable[Row]) -> None:
        """A row that failed does not take the place of one that did not."""
        for row in rows:
            if row["digest"] not in self._rows or row["status"] not in (FAILED, ENDED):
                self._rows[row["digest"]] = row

    def add(self, rows: Iterable[Row]) -> None:
        """Keep rows, whole or not at all."""
        found = list(rows)
        if found:
            self._write(found)

    def join(self) -> None:
        """Put many small files into one, where there are many."""
        self.rows()
        files = [path for path in self._files() if path.name not in self._others]
        files = [path for path in files if _size(path) < LARGE_BYTES]
        if len(files) < MANY or not {path.name for path in files} <= self._read:
            return
        try:
            tables = [self._parquet.read_table(path, columns=["digest"]) for path in files]
        except FileNotFoundError:
            return  # another client joins them
        digests = dict.fromkeys(d for table in tables for d in table["digest"].to_pylist())
        self._write([self._rows[digest] for digest in digests])
        for path in files:
            path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.parquet"))

    def _write(self, rows: list[Row]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{secrets.token_hex(8)}.parquet"
        table = self.table(rows)
        with replacing(path) as temporary:
            self._parquet.write_table(table, temporary)
        self._read.add(path.name)
        self._learn(table.to_pylist())

    def table(self, rows: list[Row]) -> Any:
        """Rows as an Arrow table with every column of a result."""
        types = {str: self._arrow.string(), float: self._arrow.float64(), bool: self._arrow.bool_()}
        schema = self._arrow.schema([(name, types[kind]) for name, kind in columns().items()])
        return self._arrow.Table.from_pylist([_plain(row) for row in rows], schema=schema)


def _plain(row: Row) -> Row:
    kinds = columns()
    return {
        name: kind(row[name]) if row.get(name) is not None else None for name, kind in kinds.items()
    }


def _size(path: Path) -> int:
    """In bytes; 0 for a file that was joined meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
