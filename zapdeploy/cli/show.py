"""Printing: JSON on standard output, tables for people, progress on standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from zapdeploy.quantities import Estimate

if TYPE_CHECKING:
    from rich.table import Table

_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"))
_SHOW_AFTER_S = 1.0


def print_json(document: Any) -> None:
    """One document on standard output."""
    json.dump(document, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def print_table(table: Table, file: TextIO | None = None) -> None:
    from rich.console import Console

    console = Console(file=file)
    width = console.width if console.is_terminal else max(console.width, 140)
    Console(file=file, width=width, highlight=False).print(table)


def write(path: Path, text: str) -> None:
    """A text file, whole or not at all."""
    from zapdeploy.files import atomic_write

    with atomic_write(path) as file:
        file.write(text.encode())


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table whose first column is text and whose others are set flush right."""
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title or None, title_justify="left", pad_edge=False)
    for index, column in enumerate(columns):
        made.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made


def quantity(value: float, unit: str, digits: int = 3) -> str:
    """A number with an SI prefix: 1.74e-3 J is "1.74 mJ"."""
    if value == 0:
        return f"0 {unit}"
    scale, prefix = next(((s, p) for s, p in _PREFIXES if abs(value) >= s), _PREFIXES[-1])
    return f"{value / scale:.{digits}g} {prefix}{unit}"


def interval(estimate: Estimate, unit: str) -> str:
    """A value with what its assumptions leave open."""
    low, high = quantity(estimate.low, unit), quantity(estimate.high, unit)
    return f"{quantity(estimate.value, unit)} ({low} to {high})"


def count(value: float) -> str:
    return f"{value:,.0f}"


class Progress:
    """Called with (what, done, total); shows a line on a terminal when the work takes a while."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled and sys.stderr.isatty()
        self._started = self._shown = time.monotonic()
        self._dirty = False

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if not self._enabled or now - self._started < _SHOW_AFTER_S or now - self._shown < 0.1:
            return
        self._shown, self._dirty = now, True
        filled = 24 * done // max(total, 1)
        bar = "#" * filled + "-" * (24 - filled)
        sys.stderr.write(f"\r\x1b[K[{bar}] {what} {done}/{total}")
        sys.stderr.flush()

    def close(self) -> None:
        if self._dirty:
            sys.stderr.write("\r\x1b[K")


@contextmanager
def progress(enabled: bool = True) -> Iterator[Progress]:
    """A progress line that is gone when the block ends."""
    shown = Progress(enabled)
    try:
        yield shown
    finally:
        shown.close()
