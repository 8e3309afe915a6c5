"""Rows of a GPU: its engines, float16, what a query copies, and energy with the waiting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.benchmarks.examples import PretendedMachine, cpu_request, write_network
from tests.benchmarks.measured.test_baselines import CountingMeter
from zapdeploy.benchmarks import (
    BenchmarkRequest,
    BenchmarkResult,
    ModelSize,
    NotRun,
    Tools,
    run_benchmark,
)
from zapdeploy.benchmarks.measured.machine import gpu_name
from zapdeploy.benchmarks.measured.meters import MeterSearch
from zapdeploy.benchmarks.measured.runner import (
    Configuration,
    open_query,
)
from zapdeploy.benchmarks.measured.torch_runner import TORCH_PROVIDER, torch_query, torch_sees_gpu
from zapdeploy.benchmarks.models.gpu_files import torch_file
from zapdeploy.benchmarks.models.model_files import float_file, half_file, sample_frames
from zapdeploy.benchmarks.models.workloads import find_workload
from zapdeploy.errors import ModelError
from zapdeploy.onnxruntime_sessions import CPU_PROVIDER, GPU_PROVIDER, Purpose, open_session

SIZE = ModelSize(neurons=12)
LINEAR = find_workload("linear-c4", SIZE)


def _run(tools: Tools, folder: Path, *precisions: str) -> BenchmarkResult:
    request = cpu_request(
        "linear-c4", targets=("gpu",), size=SIZE, frame_rate_hz=10.0, precisions=precisions
    )
    return run_benchmark(request, folder, tools=tools)


def _with_gpu(machine: PretendedMachine, **more: object) -> Tools:
    own = {"providers": lambda: (GPU_PROVIDER, CPU_PROVIDER), "torch_sees_gpu": lambda: True}
    return replace(machine.tools(), **{**own, **more})  # type: ignore[arg-type]


def test_both_engines_are_tried_and_the_better_one_is_named(tmp_path: Path) -> None:
    machine = PretendedMachine(lambda c: 0.01 if c.provider == TORCH_PROVIDER else 0.02)
    single, offline = _run(_with_gpu(machine), tmp_path, "fp32").rows
    assert {c.provider for c in machine.opened} == {GPU_PROVIDER, TORCH_PROVIDER}
    assert {(c.threads, c.streams) for c in machine.opened} == {(1, 1)}
    assert {trial["batch"] for trial in offline.tried} == {1, 8, 32, 128, 256}
    assert single.configuration is not None
    assert single.configuration["provider"] == TORCH_PROVIDER
    assert single.source.startswith("torch 2")
    assert single.machine.startswith("Example GPU, Example CPU, 2 cores")
    assert "from the host's memory and back" in single.note


@pytest.mark.parametrize("torch_gpu", [True, False])
def test_one_engine_is_enough(tmp_path: Path, torch_gpu: bool) -> None:
    machine = PretendedMachine()
    providers = (CPU_PROVIDER,) if torch_gpu else (GPU_PROVIDER, CPU_PROVIDER)
    tools = _with_gpu(machine, providers=lambda: providers, torch_sees_gpu=lambda: torch_gpu)
    assert len(_run(tools, tmp_path, "fp32").rows) == 2
    wanted = TORCH_PROVIDER if torch_gpu else GPU_PROVIDER
    assert {c.provider for c in machine.opened} == {wanted}


def test_without_a_gpu_the_same_call_leaves_reasons(tmp_path: Path) -> None:
    result = _run(PretendedMachine().tools(), tmp_path, "fp32", "fp16", "int8", "int4")
    assert result.rows == ()
    reasons = {one.precision: one for one in result.not_run}
    for precision in ("fp32", "fp16"):
        assert reasons[precision].reason.startswith("not measured here: needs an NVIDIA GPU")
        assert not reasons[precision].final
    assert "no int8 kernels" in reasons["int8"].reason


def test_float16_is_for_gpus(tmp_path: Path) -> None:
    network = str(write_network(tmp_path / "net.onnx"))
    request = BenchmarkRequest((network,), ("cpu", "tile64-sim"), ("fp16",))
    result = run_benchmark(request, tmp_path / "out", tools=PretendedMachine().tools())
    reasons: dict[str, NotRun] = {one.target: one for one in result.not_run}
    assert "its fp16 runs in fp32" in reasons["cpu"].reason
    assert reasons["tile64-sim"].reason == "tile64-sim computes in integers: no fp16"


def test_energy_at_the_frame_rate_has_the_idle_watts_in_it(tmp_path: Path) -> None:
    """One joule a second, busy or not: 0.02 J a frame, and 0.1 J at 10 frames/s."""
    machine = PretendedMachine(lambda c: 0.02)
    search = MeterSearch(CountingMeter(machine), "")
    tools = _with_gpu(machine, find_meter=lambda device: search)
    single, offline = _run(tools, tmp_path, "fp16").rows
    assert single.energy_measured_j == pytest.approx(0.02)
    assert single.energy_at_frame_rate is not None
    assert single.energy_at_frame_rate.value == pytest.approx(0.1)
    assert single.energy_at_frame_rate.kind.value == "measured"
    assert offline.energy_at_frame_rate is None
    assert {trial["activations"] for trial in single.tried} == {"float16"}


def test_half_the_bits_give_nearly_the_same_forecast(tmp_path: Path) -> None:
    """Eleven bits of mantissa: within 2e-3 of values around 1; the weights are half as large."""

    whole, half = float_file(LINEAR, tmp_path), half_file(LINEAR, tmp_path)
    inputs = sample_frames(LINEAR, whole, 1)
    assert inputs is not None
    found = [
        open_session(file.path, Purpose.INTEGER).run(None, dict(inputs))[0]
        for file in (whole, half)
    ]
    assert found[1].dtype == np.float32
    np.testing.assert_allclose(found[1], found[0], atol=2e-3)
    assert (found[0] != found[1]).any()
    assert half_file(LINEAR, tmp_path).sha256 == half.sha256


@pytest.mark.parametrize("batch", [1, 3])
def test_torch_computes_what_onnx_runtime_does(tmp_path: Path, batch: int) -> None:

    file = torch_file(LINEAR, tmp_path)
    assert file is not None
    inputs = sample_frames(LINEAR, file, batch)
    assert inputs is not None
    found = torch_query(file, inputs, half=False, device="cpu")()
    session = open_session(file.path, Purpose.INTEGER)
    name = session.get_inputs()[0].name
    for frame in range(batch):
        one = {name: inputs[name][frame : frame + 1]}
        np.testing.assert_allclose(found[frame], session.run(None, one)[0][0], atol=1e-6)


def test_what_torch_cannot_run_is_refused(tmp_path: Path) -> None:
    workload = find_workload(str(write_network(tmp_path / "net.onnx")), SIZE)
    assert torch_file(workload, tmp_path) is None
    file = torch_file(LINEAR, tmp_path)
    assert file is not None
    wrong = {"input": np.zeros((1, 5, 12), np.float32)}
    with pytest.raises(ModelError, match=r"model must be one that torch runs, not refused"):
        torch_query(file, wrong, half=False, device="cpu")
    with pytest.raises(ModelError, match=r"model must be one that zapdeploy builds"):
        torch_query(replace(file, build=None), wrong, half=False, device="cpu")


def test_a_query_copies_its_frames_to_the_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the CPU in the GPU's place: memory is asked for on "cuda", and written every time."""
    import onnxruntime

    from zapdeploy.benchmarks.measured import runner

    asked: list[str] = []
    copied: list[float] = []
    real = onnxruntime.OrtValue.ortvalue_from_numpy

    def on_device(values: Any, device: str = "cpu", index: int = 0) -> Any:
        asked.append(device)
        return real(values)

    def update(self: Any, values: Any) -> None:
        copied.append(float(values.sum()))

    monkeypatch.setattr(onnxruntime.OrtValue, "ortvalue_from_numpy", staticmethod(on_device))
    monkeypatch.setattr(onnxruntime.OrtValue, "update_inplace", update)
    monkeypatch.setattr(runner, "GPU_PROVIDER", CPU_PROVIDER)
    workload = find_workload(str(write_network(tmp_path / "net.onnx")), SIZE)
    file = float_file(workload, tmp_path)
    configuration = Configuration("given", "float", CPU_PROVIDER, 1, 1, 2)
    frames = {"x": np.ones((2, 8), np.float32)}
    with open_query(file, configuration, lambda count: frames) as query:
        query()
        query()
    assert asked == ["cuda", "cpu"]  # the input; the output stays in the host's memory
    assert copied == [16.0, 16.0]


def test_names_and_engines_of_this_machine_do_not_raise() -> None:
    assert isinstance(gpu_name(), str)
    assert torch_sees_gpu() in (True, False)
