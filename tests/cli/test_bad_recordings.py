"""A recording that cannot be used: one clear line, exit status 2, whichever command reads it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorstore")

from tests.cli.conftest import Call
from tests.recordings import examples as recordings
from zapdeploy.recordings.synthetic_recording import stimulus_features
from zapdeploy.recordings.zapbench import FRAMES

Damage = Callable[[Path], None]
NEURONS = 3


def traces() -> np.ndarray:
    return np.random.default_rng(0).random((FRAMES, NEURONS), np.float32)


def write(place: Path, values: np.ndarray) -> None:
    recordings.write(str(place), values, stimulus_features())


def lose_a_chunk(place: Path) -> None:
    write(place, traces())
    (place / "traces" / "c" / "7" / "1").unlink()


def put_nan(place: Path) -> None:
    values = traces()
    values[5000, 2] = np.nan
    write(place, values)


def swap_axes(place: Path) -> None:
    write(place, np.ascontiguousarray(traces().T))


def cut_short(place: Path) -> None:
    write(place, traces()[:200])


def lose_stimuli(place: Path) -> None:
    recordings.write(str(place), traces(), stimulus_features()[:-1])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lose_a_chunk, "array must be whole, not damaged: NOT_FOUND: chunk {7, 1}"),
        (put_nan, "traces must be finite, not nan (frame 5000, neuron 2, "),
        (swap_axes, "traces must be [7879 frames, neurons], not [3, 7879]"),
        (cut_short, "traces must be [7879 frames, neurons], not [200, 3]"),
        (lose_stimuli, "stimulus features must be [7879 frames, 26], not [7878, 26]"),
        (lambda place: place.mkdir(), "data must be of a known format, not an empty folder ("),
    ],
)
def test_a_bad_recording(zapdeploy: Call, tmp_path: Path, damage: Damage, message: str) -> None:
    place = tmp_path / "data"
    damage(place)
    calls = (("evaluate", "mean"), ("train", "linear", "-o", tmp_path / "out"))
    for call in calls:
        called = zapdeploy(*call, "--data", place)
        assert (called.status, called.out) == (2, "")
        assert called.err.startswith(f"zapdeploy: {message}")
        assert called.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0\n3\n", "neuron list must hold columns 0 to 2, not 3 (1 out of range)"),
        ("-1\n", "neuron list must hold columns 0 to 2, not -1 (1 out of range)"),
        ("1\n1\n", "neuron list must hold every column once, not twice"),
        ("one\n", "neuron list must be whole numbers, one per line, not unreadable"),
    ],
)
def test_a_bad_neuron_list(zapdeploy: Call, tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path / "data", traces())
    (tmp_path / "list.txt").write_text(text)
    chosen = ("--data", tmp_path / "data", "--neuron-list", tmp_path / "list.txt")
    called = zapdeploy("evaluate", "mean", *chosen)
    assert called.status == 2
    assert called.err.startswith(f"zapdeploy: {message}")
    assert called.err.count("\n") == 1


def test_no_network(zapdeploy: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> socket.socket:
        raise OSError(-2, "Name or service not known")

    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "create_connection", unreachable)
    called = zapdeploy("evaluate", "mean", "--data", "zapbench")
    assert called.status == 2
    assert called.err.startswith("zapdeploy: host storage.googleapis.com must be reachable, not")
    assert called.err.endswith("or use: --data synthetic\n")
    assert called.err.count("\n") == 1
