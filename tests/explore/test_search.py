"""A search keeps to its spec and its budget, goes on where it was, and finds more than luck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zapdeploy as zd
from tests.explore.test_explore import spec_of
from zapdeploy.explore.exploring import explore, plan_exploration
from zapdeploy.explore.pareto import hypervolume
from zapdeploy.explore.points import Point, Points
from zapdeploy.explore.search import Searcher
from zapdeploy.explore.spec import read_spec
from zapdeploy.explore.store import Row

pytest.importorskip("optuna")
SEARCH = {"points": 12, "minimize": ["energy_per_frame_j"], "maximize": ["throughput_fps"]}


def test_a_search_goes_on_where_it_was(tmp_path: Path) -> None:
    def found(points: int) -> set[str]:
        spec = spec_of(tmp_path, search={**SEARCH, "points": points, "at_once": 3})
        return {row["digest"] for row in explore(spec, tmp_path / "out", workers=0).rows}

    first = found(5)
    assert 1 <= len(first) <= 5
    assert first <= found(9)
    grid = plan_exploration(spec_of(tmp_path), tmp_path / "out")
    assert found(9) <= {point.digest for point in grid.points}


def searched(folder: Path, sampler: str, seed: int) -> float:
    """Hypervolume of a search over two made functions of four axes, without a compiler."""
    ends = {"from": 1, "to": 1000}
    axes = {
        "model": "tsmixer-c4",
        **dict.fromkeys(("neurons", "width", "batch"), ends),
        "objective": ["throughput", "energy"],
    }
    search = {
        "points": 150,
        "minimize": ["energy_per_frame_j", "latency_s"],
        "sampler": sampler,
        "seed": seed,
    }
    spec = read_spec({"name": f"{sampler}{seed}", "axes": axes, "search": search})
    seen: list[list[float]] = []

    def compute(points: Sequence[Point]) -> Mapping[str, Row]:
        rows: dict[str, Any] = {}
        for point in points:
            names = ("neurons", "width", "batch")
            x, y, z = (float(str(point.values[name])) / 1000 for name in names)
            rest = (y - 0.3) ** 2 + (z - 0.7) ** 2 + (point.values["objective"] == "energy")
            values = (x + rest, (1 - x) ** 2 + rest)
            seen.append(list(values))
            energy, latency = values
            rows[point.digest] = {
                "status": "done", "energy_per_frame_j": energy, "latency_s": latency
            }  # fmt: skip
        return rows

    searcher = Searcher(spec, Points(spec, lambda values: ("network", "int8")), folder)
    searcher.run(compute, lambda done, total: None)
    assert len(seen) == 150
    return hypervolume(np.array(seen), np.array([1.5, 1.5]))


@pytest.mark.slow
def test_both_samplers_beat_luck(tmp_path: Path) -> None:
    seeds = range(2)
    luck = np.mean([searched(tmp_path, "random", seed) for seed in seeds])
    for sampler in ("nsga2", "tpe"):
        assert np.mean([searched(tmp_path, sampler, seed) for seed in seeds]) > luck, sampler


GOALS = ("latency_s", "energy_per_frame_j", "total_wires_per_core_side")
REAL = {
    "axes": {
        "model": "time-mix-c4",
        "neurons": 2000,
        "precision": ["int8", "int4"],
        "batch": [1, 2, 4, 8, 16, 32],
        "objective": ["throughput", "latency", "energy"],
        "core": {"memory": {"from": "256 KiB", "to": "2048 KiB", "scale": "log"}},
        "array": {"clock": {"from": "200 MHz", "to": "800 MHz"}},
        "host": {"bandwidth": {"from": "2 GB/s", "to": "32 GB/s", "scale": "log"}},
        "networks": {
            "model": {"width": {"from": "16 B/cycle", "to": "256 B/cycle", "scale": "log"}},
            "activation": {"width": {"from": "16 B/cycle", "to": "256 B/cycle", "scale": "log"}},
        },
    }
}


@pytest.mark.slow
def test_a_real_search_beats_luck(tmp_path: Path) -> None:
    """60 points of a real problem, five seeds each; shown with `pytest -s`."""
    found: dict[str, list[Any]] = {}
    for sampler in ("random", "nsga2", "tpe"):
        for seed in range(5):
            search = {"points": 60, "minimize": GOALS, "sampler": sampler, "seed": seed}
            spec = {"name": f"{sampler}{seed}", **REAL, "search": search}
            rows = explore(spec, tmp_path, workers=0).rows
            done = [[row[goal] for goal in GOALS] for row in rows if row["status"] == "done"]
            found.setdefault(sampler, []).append(np.log(np.array(done)))
    every = np.concatenate([logs for runs in found.values() for logs in runs])
    low, high = every.min(axis=0), every.max(axis=0)
    ones = np.ones(len(GOALS))
    volumes = {
        sampler: [hypervolume((logs - low) / (high - low), ones) for logs in runs]
        for sampler, runs in found.items()
    }
    for sampler, of in volumes.items():
        print(f"{sampler}: {np.mean(of):.3f} ({min(of):.3f} to {max(of):.3f})")
    luck = np.mean(volumes["random"])
    assert np.mean(volumes["tpe"]) > luck
    assert np.mean(volumes["nsga2"]) > luck


def test_searches_that_are_wrong(tmp_path: Path) -> None:
    with pytest.raises(zd.UsageError, match=r"^search must be for columns among .*, not speed"):
        explore(spec_of(tmp_path, search={"points": 1, "minimize": ["speed"]}), tmp_path, workers=0)
    with pytest.raises(zd.UsageError, match=r"^search must name a column in minimize or maximize"):
        plan_exploration(spec_of(tmp_path, search={"points": 1}), tmp_path)
    with pytest.raises(zd.UsageError, match=r"^dry_run must be of a grid, not of a search"):
        plan_exploration(spec_of(tmp_path, search=SEARCH), tmp_path)
