"""A whole run: its rows on disk one by one, its reasons, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks.examples import QUICK, PretendedMachine, cpu_request, write_network
from zapdeploy.benchmarks import (
    BenchmarkRequest,
    ModelSize,
    Row,
    Scenario,
    load_result,
    run_benchmark,
)
from zapdeploy.errors import DataError, TargetError, UsageError
from zapdeploy.quantities import Provenance


@pytest.fixture
def network(tmp_path: Path) -> str:
    return str(write_network(tmp_path / "net.onnx"))


def _lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def test_cpu_rows_and_what_is_not_run(network: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    machine = PretendedMachine(lambda c: 0.010 + 0.002 * c.batch)
    result = run_benchmark(cpu_request(network, frame_rate_hz=10.0), folder, tools=machine.tools())
    found = [(r.precision, r.scenario) for r in result.rows]
    assert found == [(p, s) for s in Scenario for p in ("fp32", "int8")]
    assert {(n.precision, n.final) for n in result.not_run} == {("int4", True)}
    assert "no int4 kernels" in result.not_run[0].reason
    single = result.rows[0]
    assert single.frames_per_s == pytest.approx(1 / 0.012)
    assert single.kind is Provenance.MEASURED
    assert single.meets_deadline(10.0)
    assert [line["key"] for line in _lines(folder)] == [row.key for row in result.rows]


def test_the_first_answer_comes_before_what_is_as_fast_as_can_be(
    network: str, tmp_path: Path
) -> None:
    answers: list[list[Scenario]] = []
    run_benchmark(
        cpu_request(network, frame_rate_hz=10.0),
        tmp_path / "out",
        answered=lambda result: answers.append([row.scenario for row in result.rows]),
        tools=PretendedMachine().tools(),
    )
    assert answers == [[Scenario.SINGLE_STREAM] * 2]


def test_energy_is_modelled_from_the_stated_power_and_says_so(network: str, tmp_path: Path) -> None:
    """One core, 5.2 W (1.95 to 10.2): 20 ms take 104 mJ (39 to 204). At 10 Hz, 80 ms of waiting
    at a quarter of the power take another 104 mJ.
    """
    machine = PretendedMachine(lambda c: 0.020 * c.threads)
    request = cpu_request(network, precisions=("fp32",), frame_rate_hz=10.0)
    row = run_benchmark(request, tmp_path / "out", tools=machine.tools()).rows[0]
    energy, waiting = row.energy_per_frame, row.energy_at_frame_rate
    assert energy is not None
    assert waiting is not None
    assert energy.kind is Provenance.MODELLED
    assert row.energy_measured_j is None
    assert (energy.low, energy.value, energy.high) == pytest.approx((0.039, 0.104, 0.204))
    assert waiting.value == pytest.approx(0.104 + 0.08 * 5.2 / 4)
    assert row.boundary == "cores in use"
    assert "no energy meter: pretended; energy modelled" in row.note


def test_no_energy_at_a_frame_rate_that_is_too_fast(network: str, tmp_path: Path) -> None:
    machine = PretendedMachine(lambda c: 0.020)
    request = cpu_request(network, precisions=("fp32",), frame_rate_hz=100.0)
    row = run_benchmark(request, tmp_path / "out", tools=machine.tools()).rows[0]
    assert row.energy_at_frame_rate is None
    assert row.meets_deadline(100.0) is False


def test_simulated_rows(network: str, tmp_path: Path) -> None:
    request = cpu_request(network, targets=("northpole-sim",), frame_rate_hz=10.0)
    result = run_benchmark(request, tmp_path / "out", tools=PretendedMachine().tools())
    assert {(r.precision, r.scenario.value) for r in result.rows} == {
        *(("int8", "SingleStream"), ("int8", "Offline")),
        *(("int4", "SingleStream"), ("int4", "Offline")),
    }
    single, offline = (r for r in result.rows if r.precision == "int8")
    assert (single.batch, single.kind, single.boundary) == (1, Provenance.SIMULATED, "chip")
    assert single.latency_s is not None
    assert single.frames_per_s == pytest.approx(1 / single.latency_s)
    assert single.energy_at_frame_rate is not None
    assert single.energy_per_frame is not None
    assert single.energy_at_frame_rate.value > single.energy_per_frame.value
    assert offline.batch in {1, 8, 32}
    assert len(offline.tried) == 3
    assert offline.digest
    assert offline.transistors == 22e9
    assert all(row.limiter for row in result.rows)
    assert {n.reason for n in result.not_run} == {"northpole-sim computes in integers: no fp32"}


def test_published_rows_come_with_resnet50_alone(network: str, tmp_path: Path) -> None:
    request = cpu_request("resnet50", precisions=("int4",))
    result = run_benchmark(request, tmp_path / "a", tools=PretendedMachine().tools())
    assert {row.kind for row in result.rows} == {Provenance.PUBLISHED}
    assert len(result.rows) > 26
    without = run_benchmark(
        replace(request, published=False), tmp_path / "b", tools=PretendedMachine().tools()
    )
    assert without.rows == ()


def test_gpu_that_is_absent_is_a_reason_and_tried_again_later(network: str, tmp_path: Path) -> None:
    request = cpu_request(network, targets=("gpu",), precisions=("fp32", "int8"))
    machine = PretendedMachine()
    first = run_benchmark(request, tmp_path / "out", tools=machine.tools())
    assert first.rows == ()
    assert {(n.precision, n.final) for n in first.not_run} == {("fp32", False), ("int8", True)}
    both = ("CUDAExecutionProvider", "CPUExecutionProvider")
    tools = replace(machine.tools(), providers=lambda: both)
    second = run_benchmark(request, tmp_path / "out", resume=True, tools=tools)
    assert [row.precision for row in second.rows] == ["fp32", "fp32"]
    assert {n.precision for n in second.not_run} == {"int8"}
    assert second.rows[0].energy_per_frame is None
    assert second.rows[0].boundary == "not stated"


def test_a_model_that_cannot_be_compiled_leaves_a_reason_and_the_rest_runs(
    network: str, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x00broken")
    request = replace(cpu_request(network, precisions=("fp32",)), models=(str(broken), network))
    result = run_benchmark(request, tmp_path / "out", tools=PretendedMachine().tools())
    assert {row.model for row in result.rows} == {network}
    assert {n.reason.split("(")[0] for n in result.not_run} == {
        "model must be an ONNX file, not unreadable "
    }


def test_progress_counts_pieces_and_names_steps(network: str, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    run_benchmark(
        cpu_request(network, precisions=("fp32",)),
        tmp_path / "out",
        progress=lambda what, done, total: seen.append((what, done, total)),
        tools=PretendedMachine().tools(),
    )
    assert seen[0] == (f"{network} fp32 on cpu, SingleStream", 0, 2)
    assert seen[1] == (f"{network} fp32 on cpu, SingleStream (1 of 3)", 0, 2)
    assert seen[-1] == ("done", 2, 2)


def test_json_document_has_rows_and_reasons(network: str, tmp_path: Path) -> None:
    result = run_benchmark(cpu_request(network), tmp_path / "out", tools=PretendedMachine().tools())
    document = json.loads(json.dumps(result.as_json(), allow_nan=False))
    assert [Row.from_json(raw) for raw in document["rows"]] == list(result.rows)
    assert {"schema", "rows", "not_run", "settings", "machine", "versions"} == set(document)


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"folder must hold benchmark results, not lack"):
        load_result(tmp_path)


def test_an_entry_of_another_version_is_refused(network: str, tmp_path: Path) -> None:
    request = cpu_request(network, precisions=("fp32",))
    run_benchmark(request, tmp_path / "out", tools=PretendedMachine().tools())
    (tmp_path / "out" / "rows.jsonl").write_text('{"key": "k"}\n')
    with pytest.raises(DataError, match=r"entry must have the fields of this version, .*key 'k'"):
        load_result(tmp_path / "out")


def test_output_that_is_a_file_is_refused(network: str, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UsageError, match=r"output must be a folder that can be made, not"):
        run_benchmark(cpu_request(network), tmp_path / "out")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"models": ()}, r"models must name at least one, not none"),
        ({"targets": ("cpu", "cpu")}, r"targets must name each once, not cpu, cpu"),
        ({"precisions": ("int3",)}, r"precisions must be of fp32, fp16, int8, int4, not 'int3'"),
        ({"frame_rate_hz": 0.0}, r"frame_rate must be above 0 Hz, not 0"),
        ({"frame_rate_hz": float("nan")}, r"frame_rate must be above 0 Hz, not nan"),
    ],
)
def test_wrong_requests_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        BenchmarkRequest(**fields)  # type: ignore[arg-type]


def test_unknown_target_is_refused_before_anything_runs(network: str, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"target must be one of .*, not 'tpu'"):
        run_benchmark(cpu_request(network, targets=("cpu", "tpu")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_named_network_end_to_end_through_onnx_runtime(tmp_path: Path) -> None:
    request = BenchmarkRequest(
        models=("tsmixer-c4",),
        precisions=("int8",),
        size=ModelSize(neurons=60, width=8),
        effort=QUICK,
    )
    result = run_benchmark(request, tmp_path / "out")
    assert [(r.target, r.scenario.value) for r in result.rows] == [
        *(("northpole-sim", "SingleStream"), ("cpu", "SingleStream")),
        *(("northpole-sim", "Offline"), ("cpu", "Offline")),
    ]
    assert {trial["form"] for trial in result.rows[1].tried} == {"qdq", "qoperator"}
    assert all(trial["refused"] == "" for trial in result.rows[3].tried)
