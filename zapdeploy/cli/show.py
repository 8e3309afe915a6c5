"""Printing: JSON on standard output, tables for people, progress on standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, TextIO

from zapdeploy.formatting import count, interval, quantity
from zapdeploy.platforms import peak_memory_bytes
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
LINE_EVERY_S = 5.0  # where standard error is no terminal
BAR = 24
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
    """Called with (what, done, total). A terminal has a line that moves every second; elsewhere, in
    a log, a line is written every few seconds. Nothing is shown of what is done at once.
    """

    def __init__(self, enabled: bool) -> None:
        self._terminal = sys.stderr.isatty()
        self._started = self._shown = time.monotonic()
        self._what = self._step = ""
        self._dirty = False
        self._ended = Event()
        self._writing = Lock()
        self._beat = Thread(target=self._keep_moving, daemon=True)
        self._enabled = enabled
        if enabled:
            self._beat.start()

    def __call__(self, what: str, done: int, total: int) -> None:
        if _verbose and what != self._step:
            self._step = what
            print(f"{time.monotonic() - self._started:8.1f} s  {what}", file=sys.stderr)
        filled = BAR * done // max(total, 1)
        bar = f"[{'#' * filled}{'-' * (BAR - filled)}] " if self._terminal else ""
        self._what = f"{bar}{what} {done}/{total}"
        if self._enabled and self._terminal and time.monotonic() - self._shown >= 0.1:
            self._show()

    def _keep_moving(self) -> None:
        """Long steps call nobody: then the seconds go on, so that one sees that it lives."""
        while not self._ended.wait(_SHOW_AFTER_S):
            if self._terminal or time.monotonic() - self._shown >= LINE_EVERY_S:
                self._show()

    def _show(self) -> None:
        now = time.monotonic()
        if now - self._started < _SHOW_AFTER_S or self._ended.is_set():
            return
        text = f"{self._what or 'working'} ({now - self._started:.0f} s)"
        with self._writing:
            self._shown, self._dirty = now, True
            sys.stderr.write(f"\r\x1b[K{text}" if self._terminal else f"{text}\n")
            sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away, until it moves again."""
        with self._writing:
            if self._dirty and self._terminal:
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()

    def close(self) -> None:
        """Take the line away."""
        self._ended.set()
        if self._enabled:
            self._beat.join()
        self.clear()


@contextmanager
def cost() -> Iterator[None]:
    """With --verbose, say what the whole call took."""
    started = time.monotonic()
    try:
        yield
    finally:
        if _verbose:
            memory = peak_memory_bytes()
            peak = f", {quantity(memory, 'B')} of memory at most" if memory else ""
            print(f"{time.monotonic() - started:8.1f} s  in all{peak}", file=sys.stderr)


@contextmanager
def progress(enabled: bool = True) -> Iterator[Progress]:
    """A progress line that is gone when the block ends."""
    shown = Progress(enabled)
    try:
        yield shown
    finally:
        shown.close()
