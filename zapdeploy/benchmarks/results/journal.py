"""Results on disk, one JSON object a line, so that a killed run loses nothing it had finished.

A line is appended with one write and synced. What a kill leaves behind is at most one line without
its end, which the next run cuts off. A lock that the system drops with its process keeps a second
run out of the folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zapdeploy import platforms
from zapdeploy.errors import DataError, UsageError
from zapdeploy.typed import read_json

LOCK_NAME = ".lock"


class Journal:
    """A growing file of JSON objects, each with a "key"; the last line of a key counts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, dict[str, Any]]:
        """Whole entries by key, in the order of their first line. A cut-off last line is ignored.

        Raises DataError for any other line that is no such object.
        """
        if not self.path.exists():
            return {}
        entries: dict[str, dict[str, Any]] = {}
        whole = self.path.read_bytes()[: self._whole_bytes()]
        for number, line in enumerate(whole.splitlines(), start=1):
            entry = self._entry(line, number)
            entries[entry["key"]] = entry
        return entries

    def repair(self) -> None:
        """Cut off what a killed process left of a last line."""
        if not self.path.exists():
            return
        whole = self._whole_bytes()
        if whole < self.path.stat().st_size:
            os.truncate(self.path, whole)

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add one entry; it is on disk when this returns."""
        line = json.dumps(entry, allow_nan=False).encode() + b"\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            written = 0
            while written < len(line):
                written += os.write(handle, line[written:])
            os.fsync(handle)
        finally:
            os.close(handle)

    def _whole_bytes(self) -> int:
        return self.path.read_bytes().rfind(b"\n") + 1

    def _entry(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            entry = read_json(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict) or not isinstance(entry.get("key"), str):
            raise DataError(
                f"line must be a JSON object with a key, not {line[:40].decode(errors='replace')!r}"
                f" ({self.path}, line {number}); restore the file or start a new folder"
            )
        return entry


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process alone; raises UsageError when another one has it."""
    handle = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not platforms.lock(handle):
            raise UsageError(
                f"output folder must be used by one run at a time, not two ({folder}); wait for "
                "the other run, or give another folder"
            )
        yield
    finally:
        os.close(handle)
