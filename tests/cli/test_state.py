"""--state: a cache goes from frame to frame; what the command line says when it cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Call
from tests.compile.test_state import ROWS, WIDTH, frames, written_at_a_position
from zapdeploy.arrays import load_arrays, save_arrays


def test_state_goes_from_frame_to_frame(tmp_path: Path, zapdeploy: Call) -> None:
    """The caller gives one row at a time; after n frames, n rows of the cache are in use."""
    model, program = written_at_a_position().save(tmp_path / "m.onnx"), tmp_path / "m.zap"
    assert zapdeploy("compile", model, "--state", "past=present", "-o", program).status == 0
    given, got = tmp_path / "x.npz", tmp_path / "y.npz"
    rows = frames(ROWS)
    save_arrays(given, {name: np.concatenate([row[name] for row in rows]) for name in rows[0]})
    called = zapdeploy(
        "simulate", program, "--inputs", given, "--outputs", got, "--check", "--json"
    )
    assert called.status == 0
    assert called.json["check"]["passed"]
    assert called.json["core_array"]["equal"] == called.json["core_array"]["elements"] > 0
    assert called.json["counts"]["host_bytes"] == WIDTH + 2 + ROWS * 8  # x, the position, y
    assert called.json["memory"]["state_bytes"] >= ROWS * WIDTH
    found = load_arrays(got)
    assert set(found) == {"y"}
    assert [int(y.any(axis=1).sum()) for y in found["y"]] == list(range(1, ROWS + 1))


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("past", "--state must be INPUT=OUTPUT, not 'past'"),
        ("past=y", "state 'past' -> 'y' must have one shape and type"),
    ],
)
def test_errors(tmp_path: Path, zapdeploy: Call, pair: str, message: str) -> None:
    model = written_at_a_position().save(tmp_path / "m.onnx")
    called = zapdeploy("compile", model, "--state", pair)
    assert called.status == 2
    assert message in called.err
    assert list(tmp_path.iterdir()) == [model]
