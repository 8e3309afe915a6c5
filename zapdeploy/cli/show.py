"""Printing: JSON on standard output, tables for people, progress on standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from zapdeploy.formatting import count, interval, quantity
from zapdeploy.tables import Answer
from zapdeploy.tables import Table as Answered
from zapdeploy.text import one_line

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "Progress",
    "count",
    "interval",
    "print_answer",
    "print_json",
    "print_table",
    "progress",
    "quantity",
    "table",
    "write",
]
_SHOW_AFTER_S = 1.0
_verbose = False


def set_verbose(on: bool) -> None:
    """Whether each step of the work is named on standard error as it begins."""
    global _verbose
    _verbose = on


def print_json(document: Any) -> None:
    """One document on standard output."""
    json.dump(document, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def print_table(shown: Table | Answered, file: TextIO | None = None) -> None:
    """A table on a terminal; wide where standard output is a file."""
    from rich.console import Console

    made = table(shown.title, shown.columns, shown.rows) if isinstance(shown, Answered) else shown

    console = Console(file=file)
    width = console.width if console.is_terminal else max(console.width, 140)
    Console(file=file, width=width, highlight=False).print(made)


def print_answer(answer: Answer) -> None:
    """The tables of a result."""
    for shown in answer.tables():
        print_table(shown)


def write(path: Path, text: str) -> None:
    """A text file, whole or not at all."""
    from zapdeploy.files import atomic_write

    with atomic_write(path) as file:
        file.write(text.encode())


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table whose first column is text and whose others are set flush right."""
    from rich.table import Table
    from rich.text import Text

    made = Table(
        title=Text(one_line(title)) if title else None, title_justify="left", pad_edge=False
    )
    for index, column in enumerate(columns):
        made.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        made.add_row(*(Text(one_line(cell)) for cell in row))
    return made


class Progress:
    """Called with (what, done, total); shows a line on a terminal when the work takes a while."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled and sys.stderr.isatty()
        self._started = self._shown = time.monotonic()
        self._dirty, self._what = False, ""

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if _verbose and what != self._what:
            self._what = what
            print(f"{now - self._started:8.1f} s  {what}", file=sys.stderr)
        if not self._enabled or now - self._started < _SHOW_AFTER_S or now - self._shown < 0.1:
            return
        self._shown, self._dirty = now, True
        filled = 24 * done // max(total, 1)
        bar = "#" * filled + "-" * (24 - filled)
        sys.stderr.write(f"\r\x1b[K[{bar}] {what} {done}/{total}")
        sys.stderr.flush()

    def close(self) -> None:
        """Take the line away; with --verbose, say how long it all took."""
        if self._dirty:
            sys.stderr.write("\r\x1b[K")
        if _verbose:
            print(f"{time.monotonic() - self._started:8.1f} s  done", file=sys.stderr)


@contextmanager
def progress(enabled: bool = True) -> Iterator[Progress]:
    """A progress line that is gone when the block ends."""
    shown = Progress(enabled)
    try:
        yield shown
    finally:
        shown.close()
