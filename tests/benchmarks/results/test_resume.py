"""Interrupted runs go on where they stopped: nothing lost, nothing repeated, nothing mixed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks.examples import MACHINE, PretendedMachine, cpu_request, write_network
from tests.benchmarks.results.killed_run import killable_request
from zapdeploy.benchmarks import benchmark_outcomes, load_result, run_benchmark
from zapdeploy.benchmarks.measured.machine import Machine
from zapdeploy.benchmarks.results.journal import Journal
from zapdeploy.errors import UsageError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def network(tmp_path: Path) -> str:
    return str(write_network(tmp_path / "net.onnx"))


def test_resume_runs_nothing_again(network: str, tmp_path: Path) -> None:
    machine = PretendedMachine()
    first = run_benchmark(cpu_request(network), tmp_path / "out", tools=machine.tools())
    before = (tmp_path / "out" / "rows.jsonl").read_bytes()
    opened = len(machine.opened)
    again = run_benchmark(
        cpu_request(network), tmp_path / "out", resume=True, tools=machine.tools()
    )
    assert again == first
    assert len(machine.opened) == opened
    assert (tmp_path / "out" / "rows.jsonl").read_bytes() == before


def test_resume_after_a_cut_line_runs_that_row_alone(network: str, tmp_path: Path) -> None:
    request, folder = cpu_request(network), tmp_path / "out"
    first = run_benchmark(request, folder, tools=PretendedMachine().tools())
    path = folder / "rows.jsonl"
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    assert len(load_result(folder).rows) == 3
    new = list(benchmark_outcomes(request, folder, resume=True, tools=PretendedMachine().tools()))
    assert [one.key for one in new] == [first.rows[-1].key]
    assert path.read_bytes()[: len(content) // 2] == content[: len(content) // 2]
    assert load_result(folder).rows == first.rows


def test_resume_adds_what_is_asked_for_in_addition(network: str, tmp_path: Path) -> None:
    tools = PretendedMachine().tools()
    run_benchmark(cpu_request(network, precisions=("fp32",)), tmp_path / "out", tools=tools)
    result = run_benchmark(cpu_request(network), tmp_path / "out", resume=True, tools=tools)
    assert [row.precision for row in result.rows] == ["fp32", "fp32", "int8", "int8"]


def test_a_changed_model_file_is_run_again(network: str, tmp_path: Path) -> None:
    request, tools = cpu_request(network, precisions=("fp32",)), PretendedMachine().tools()
    run_benchmark(request, tmp_path / "out", tools=tools)
    write_network(Path(network), width=16)
    result = run_benchmark(request, tmp_path / "out", resume=True, tools=tools)
    assert len({row.key for row in result.rows}) == len(result.rows) == 4


def test_killed_run_is_resumed_without_loss_or_repetition(network: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    command = [sys.executable, "-m", "tests.benchmarks.results.killed_run", network, str(folder)]
    child = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=_environment()
    )
    assert child.stdout is not None
    finished = [child.stdout.readline().strip() for _ in range(2)]
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()
    kept = (folder / "rows.jsonl").read_bytes()
    assert list(Journal(folder / "rows.jsonl").read())[:2] == finished

    result = run_benchmark(
        killable_request(network), folder, resume=True, tools=PretendedMachine().tools()
    )
    lines = (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    keys = [json.loads(line)["key"] for line in lines]
    assert (folder / "rows.jsonl").read_bytes().startswith(kept)
    assert len(keys) == len(set(keys)) == len(result.rows) == 4
    assert not list((folder / "models").glob(".*"))


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_half_written_models_of_a_killed_run_are_removed(network: str, tmp_path: Path) -> None:
    leftover = tmp_path / "out" / "models" / ".net.onnx.abc.part"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    run_benchmark(
        cpu_request(network, precisions=("int4",)),
        tmp_path / "out",
        tools=PretendedMachine().tools(),
    )
    assert not leftover.exists()


def test_results_are_not_overwritten_without_resume(network: str, tmp_path: Path) -> None:
    tools = PretendedMachine().tools()
    run_benchmark(cpu_request(network, precisions=("fp32",)), tmp_path / "out", tools=tools)
    with pytest.raises(UsageError, match=r"output folder must be new, .*; add resume"):
        run_benchmark(cpu_request(network), tmp_path / "out", tools=tools)


def test_rows_of_other_settings_or_machines_are_not_mixed(network: str, tmp_path: Path) -> None:
    tools = PretendedMachine().tools()
    run_benchmark(cpu_request(network, precisions=("fp32",)), tmp_path / "out", tools=tools)
    with pytest.raises(UsageError, match=r"frame_rate_hz must stay None, not become 5.0"):
        run_benchmark(
            cpu_request(network, frame_rate_hz=5.0), tmp_path / "out", resume=True, tools=tools
        )
    other = replace(tools, machine=Machine("Another CPU", *list(vars(MACHINE).values())[1:]))
    with pytest.raises(UsageError, match=r"cpu must stay 'Example CPU', not become 'Another CPU'"):
        run_benchmark(cpu_request(network), tmp_path / "out", resume=True, tools=other)
