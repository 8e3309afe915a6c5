"""SQL over an exploration's tables: DuckDB reads them where they lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zapdeploy.errors import UsageError
from zapdeploy.explore.table import TABLES
from zapdeploy.extras import load
from zapdeploy.tables import Answer, Table

POINTS = "points"


@dataclass(frozen=True, eq=False, repr=False)
class Found(Answer):
    """Rows of a query."""

    sql: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def __repr__(self) -> str:
        return f"<Found {len(self.rows)} rows: {self.sql}>"

    def records(self) -> list[dict[str, Any]]:
        """The rows by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def tables(self) -> tuple[Table, ...]:
        """The rows as they are."""
        return (Table("", self.columns, [tuple(map(_cell, row)) for row in self.rows]),)


def query(folder: str | Path, sql: str) -> Found:
    """Rows of a query over a folder of `explore`.

    Every table of the folder has the name of its spec; `points` is the newest of them. Nothing else
    can be read, and nothing written. Raises UsageError for a query that DuckDB refuses.
    """
    duckdb = load("duckdb", "explore", "query an exploration")
    parquet = load("pyarrow.parquet", "explore", "query an exploration")
    paths = tables_in(folder)
    connection = duckdb.connect(":memory:", config={"enable_external_access": False})
    try:
        for path in paths:
            connection.register(path.stem, parquet.read_table(path))
        connection.register(POINTS, parquet.read_table(paths[-1]))
        found = connection.execute(sql)
        columns = tuple(column[0] for column in found.description or ())
        return Found(sql, columns, tuple(map(tuple, found.fetchall())))
    except duckdb.Error as error:
        first = str(error).strip().splitlines()[0]
        raise UsageError(
            f'query must be SQL over {POINTS}: {first}; columns such as "core.memory" stand in '
            "double quotes"
        ) from None
    finally:
        connection.close()


def tables_in(folder: str | Path) -> list[Path]:
    """The tables of a folder, the newest last. Raises UsageError where there is none."""
    found = sorted((Path(folder) / TABLES).glob("*.parquet"), key=lambda p: p.stat().st_mtime)
    if not found:
        raise UsageError(
            f"folder must be one that zapdeploy explore wrote, not '{folder}'; check the path"
        )
    return found


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
