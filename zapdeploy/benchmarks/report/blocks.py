"""What a page is made of. Text is plain everywhere: the template escapes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Cell:
    """A number or a word; `kind`: one of the four words, where the number has one."""

    text: str
    kind: str = ""


# Columns that hold words: set flush left.
WORDS = frozenset(
    {
        *("against", "and", "as used", "boundary", "configuration", "cut", "device", "digest"),
        *("event", "its price is", "kind", "largest part", "limited by", "limiter", "note"),
        *("operator", "row", "scenario", "SHA-256 of the file", "source", "source, boundary"),
        *("time by limiter of the layer", "verdict", "why"),
    }
)


@dataclass(frozen=True)
class Table:
    """The first cell of a row is its name. folded: shown when asked for."""

    form: ClassVar[str] = "table"
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    folded: bool = False

    def style(self, column: int) -> str:
        """The style of a column's cells."""
        return "words" if self.columns[column] in WORDS else "numbers"


@dataclass(frozen=True)
class Chart:
    """A plotly figure (`data`, `layout`), what it shows in words, and the same as a table."""

    form: ClassVar[str] = "chart"
    id: str
    title: str
    summary: str
    figure: Mapping[str, Any]
    table: Table


@dataclass(frozen=True)
class CoreMap:
    """Heat maps of all cores, chosen by network, by unit and by layer; as a table, too."""

    form: ClassVar[str] = "core_map"
    id: str
    title: str
    networks: tuple[Mapping[str, Any], ...]
    tables: tuple[Table, ...]


Block = Table | Chart | CoreMap


@dataclass(frozen=True)
class Section:
    """`text`: paragraphs before the blocks."""

    id: str
    title: str
    text: tuple[str, ...]
    blocks: tuple[Block, ...] = ()


def table(
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell | str]],
    *,
    folded: bool = False,
) -> Table:
    """A table whose cells may be given as plain text."""
    cells = tuple(
        tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in row) for row in rows
    )
    return Table(caption, tuple(columns), cells, folded)
