"""A dataclass as a JSON document."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from zapdeploy.documents import Document, changed_fields, plain
from zapdeploy.quantities import Estimate, Provenance


class _Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class _Inner:
    path: Path
    share: float = 0.5


@dataclass(frozen=True)
class _Outer(Document):
    also: ClassVar[tuple[str, ...]] = ("twice",)
    inner: _Inner
    colours: tuple[_Colour, ...]
    energy: Estimate
    counts: Any

    @property
    def twice(self) -> float:
        return 2 * self.inner.share


def test_everything_becomes_what_json_has() -> None:
    energy = Estimate(1.0, 0.5, 2.0, Provenance.MODELLED)
    counts = {"cores": np.arange(3), "all": np.int64(3)}
    found = _Outer(_Inner(Path("a") / "b"), (_Colour.RED,), energy, counts).as_json()
    assert json.loads(json.dumps(found)) == {
        "inner": {"path": str(Path("a/b")), "share": 0.5},
        "colours": ["red"],
        "energy": {"value": 1.0, "low": 0.5, "high": 2.0, "kind": "modelled"},
        "counts": {"cores": [0, 1, 2], "all": 3},
        "twice": 1.0,
    }


def test_options_say_what_differs_from_their_defaults() -> None:
    assert changed_fields(_Inner(Path("a"))) == {"path": "a"}
    assert plain({"x": (1, None)}) == {"x": [1, None]}
