"""Rows of another machine: kept with its name, shown as recorded, and only where they belong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks.examples import MACHINE, PretendedMachine, cpu_request, write_network
from zapdeploy.benchmarks import BenchmarkResult, compare_rows, run_benchmark
from zapdeploy.benchmarks.measured.machine import Machine
from zapdeploy.errors import DataError, UsageError
from zapdeploy.quantities import Provenance

OTHER = Machine("Other CPU", 8, 2**34, "Linux x86_64")


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return write_network(tmp_path / "net.onnx")


def _there(network: Path, folder: Path, rate_hz: float = 10.0) -> BenchmarkResult:
    """Measured on another machine, twice as fast, under another path; and simulated."""
    copy = folder.parent / "other" / "same.onnx"
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes(network.read_bytes())
    request = cpu_request(
        str(copy), targets=("cpu", "tile64-sim"), precisions=("fp32",), frame_rate_hz=rate_hz
    )
    tools = replace(PretendedMachine(lambda c: 0.01).tools(), machine=OTHER)
    return run_benchmark(request, folder, tools=tools)


def _here(network: Path, folder: Path, *recorded: Path, resume: bool = False) -> BenchmarkResult:
    request = cpu_request(
        str(network),
        precisions=("fp32",),
        frame_rate_hz=10.0,
        recorded=tuple(map(str, recorded)),
    )
    tools = PretendedMachine(lambda c: 0.02).tools()
    return run_benchmark(request, folder, resume=resume, tools=tools)


def test_recorded_rows_keep_their_machine(network: Path, tmp_path: Path) -> None:
    there = _there(network, tmp_path / "there")
    result = _here(network, tmp_path / "here", tmp_path / "there")
    recorded = [row for row in result.rows if row.recorded_on]
    assert [row.frames_per_s for row in recorded] == [row.frames_per_s for row in there.rows]
    for row in recorded:
        assert row.kind is Provenance.MEASURED
        assert row.recorded_on == row.machine == OTHER.summary
        assert row.model == str(network)
        assert row.source.endswith(f"measured on {OTHER.summary}")
    lines = compare_rows(result.rows).models[0].lines
    assert {line.device for line in lines} == {"cpu fp32", "cpu fp32 (Other CPU)"}


def test_resuming_adds_them_once(network: Path, tmp_path: Path) -> None:
    _there(network, tmp_path / "there")
    first = _here(network, tmp_path / "here", tmp_path / "there")
    again = _here(network, tmp_path / "here", tmp_path / "there", resume=True)
    assert again.rows == first.rows
    text = (tmp_path / "here" / "rows.jsonl").read_text()
    assert len(text.splitlines()) == len(first.rows) == 4


def test_what_was_recorded_here_can_be_handed_on(network: Path, tmp_path: Path) -> None:
    _there(network, tmp_path / "there")
    _here(network, tmp_path / "here", tmp_path / "there")
    third = _here(network, tmp_path / "third", tmp_path / "here")
    assert {row.recorded_on for row in third.rows} == {"", OTHER.summary, MACHINE.summary}
    assert len({row.key for row in third.rows}) == len(third.rows)


def test_energy_at_another_frame_rate_is_left_out(network: Path, tmp_path: Path) -> None:
    there = _there(network, tmp_path / "there", rate_hz=5.0)
    assert there.rows[0].energy_at_frame_rate is not None
    result = _here(network, tmp_path / "here", tmp_path / "there")
    recorded = next(row for row in result.rows if row.recorded_on)
    assert recorded.energy_at_frame_rate is None
    assert recorded.frame_rate_hz == 10.0


def test_rows_of_another_network_are_refused_before_anything_runs(
    network: Path, tmp_path: Path
) -> None:
    _there(network, tmp_path / "there")
    other = write_network(tmp_path / "wide.onnx", width=9)
    with pytest.raises(UsageError, match=r"recorded must hold measured rows of .*wide.onnx"):
        _here(other, tmp_path / "here", tmp_path / "there")
    with pytest.raises(DataError, match=r"folder must hold benchmark results, not lack"):
        _here(network, tmp_path / "here", tmp_path / "nowhere")
    assert not (tmp_path / "here").exists()
