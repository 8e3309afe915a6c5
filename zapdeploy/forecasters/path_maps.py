"""What our tensors are called, and how they lie, in a checkpoint from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zapdeploy.errors import DataError


@dataclass(frozen=True)
class Piece:
    """What one of our tensors is made of: an array of the checkpoint, or some of its rows.

    rows: first and last + 1 along the first axis (a Flax kernel's inputs). swap: (a, b) where the
    axis of length a b counts b fastest there and a fastest here.
    """

    source: str
    rows: tuple[int, int] | None = None
    swap: tuple[int, int] | None = None


PathMap = Mapping[str, Piece]  # our tensor's name -> what it is made of


def read_path_map(path: Path) -> dict[str, Piece]:
    """{"our name": "their name"}, or {"our name": {"source": ..., "rows": ..., "swap": ...}}."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {name: _piece(entry) for name, entry in document.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"path map must be JSON of our names and theirs, not {type(error).__name__}: {error} "
            f'({path}); write {{"forecast.weight": "Dense_0/kernel", ...}}'
        ) from None


def _piece(entry: Any) -> Piece:
    if isinstance(entry, str):
        return Piece(entry)
    rows, swap = entry.get("rows"), entry.get("swap")
    return Piece(
        str(entry["source"]),
        None if rows is None else (int(rows[0]), int(rows[1])),
        None if swap is None else (int(swap[0]), int(swap[1])),
    )
