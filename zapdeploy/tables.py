"""Answers as tables: the same rows for a terminal, a notebook, pandas and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from zapdeploy.errors import UsageError
from zapdeploy.extras import load

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Table:
    """Cells as people read them; `title` may be empty."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def html(self) -> str:
        """An HTML table whose first column is text and whose others are set flush right."""
        head = "".join(f"<th>{escape(column)}</th>" for column in self.columns)
        body = "".join(f"<tr>{''.join(map(_cell, enumerate(row)))}</tr>" for row in self.rows)
        title = f"<caption>{escape(self.title)}</caption>" if self.title else ""
        return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def table_of(title: str, records: Sequence[Mapping[str, object]]) -> Table:
    """Records of equal keys as a table."""
    columns = tuple(records[0]) if records else ()
    rows = [tuple(str(record[column]) for column in columns) for record in records]
    return Table(title, columns, rows)


class Answer:
    """What every result can do in a notebook. A result gives its tables, records and figure."""

    def tables(self) -> tuple[Table, ...]:
        """What is shown where the result is shown."""
        raise NotImplementedError

    def records(self) -> list[dict[str, Any]]:
        """The result as rows of plain values in SI units, for `to_frame`."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return "".join(table.html() for table in self.tables())

    def to_frame(self) -> pandas.DataFrame:
        """The records as a pandas DataFrame. Raises UsageError where pandas is not installed."""
        frames = load("pandas", "notebook", "make a data frame")
        frame: pandas.DataFrame = frames.DataFrame(self.records())
        return frame

    def plot(self) -> Any:
        """A Plotly figure. Raises UsageError where Plotly is not installed."""
        return self._figure(load("plotly.graph_objects", "notebook", "draw"))

    def _figure(self, graph_objects: Any) -> Any:
        raise UsageError(f"{type(self).__name__} must be read as a table; it has no figure")


def _cell(indexed: tuple[int, str]) -> str:
    index, text = indexed
    align = "left" if index == 0 else "right"
    return f'<td style="text-align:{align}">{escape(text)}</td>'


def write_page(path: Any, figure: Any) -> None:
    """A Plotly figure as an HTML file that needs nothing from outside, whole or not at all."""
    from pathlib import Path

    from zapdeploy.files import atomic_write

    with atomic_write(Path(path)) as file:
        file.write(figure.to_html(include_plotlyjs=True, full_html=True).encode())
