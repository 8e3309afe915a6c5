"""Whole commands, start-up included, and one frame of ResNet-50 beside ONNX Runtime's best.

Run by `make speed`, which compares each, as a ratio to a reference kernel, with a saved baseline.
Figures to quote are the medians.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from zapdeploy.compile import kernels

pytestmark = pytest.mark.slow
COMMAND = (sys.executable, "-m", "zapdeploy")


def _call(*arguments: object) -> None:
    subprocess.run(
        [*COMMAND, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, timeout=300
    )


def test_import(speed: Any) -> None:
    """`import zapdeploy` in a fresh interpreter."""
    command = (sys.executable, "-c", "import zapdeploy")
    speed.pedantic(subprocess.run, args=(command,), kwargs={"check": True}, rounds=10)


def test_help(speed: Any) -> None:
    """`zapdeploy --help`."""
    speed.pedantic(_call, args=("--help",), rounds=10, warmup_rounds=1)


def test_compile_resnet50_int4(speed: Any, resnet50: dict[str, Path], tmp_path: Path) -> None:
    """`zapdeploy compile resnet50-int4.onnx --target northpole-sim`, from nothing to the file."""
    arguments = ("compile", resnet50["int4"], "--target", "northpole-sim", "-o", tmp_path / "r.zap")
    speed.pedantic(_call, args=arguments, rounds=5, warmup_rounds=1)


def test_functional_frame_of_resnet50_int8(speed: Any, resnet50: dict[str, Path]) -> None:
    """One frame in the functional simulator; `extra_info` has the ratio to ONNX Runtime's best."""
    _frame(speed, resnet50["int8"])


@pytest.mark.parametrize("backend", kernels.available_backends()[1:-1])
def test_functional_frame_of_resnet50_int8_with(
    speed: Any, resnet50: dict[str, Path], backend: str
) -> None:
    """The same with the kernels for processors that have less. ONNX Runtime takes what is there."""
    kernels.set_backend(backend)
    try:
        _frame(speed, resnet50["int8"])
    finally:
        kernels.set_backend(None)


def _frame(speed: Any, model: Path) -> None:
    from tests.speed.beside_onnxruntime import compare
    from zapdeploy.compile.frontend import import_model
    from zapdeploy.forecasters import sample_inputs
    from zapdeploy.sim.functional import Network

    inputs = sample_inputs("resnet50", 1)
    network = Network.of(import_model(model).graph)
    found = speed.pedantic(network.run, args=(inputs,), rounds=15, warmup_rounds=2)
    assert len(found) == 1
    if speed.stats is not None:
        beside = compare(lambda: list(network.run(inputs).values()), model, inputs)
        speed.extra_info["onnxruntime"] = beside.configuration
        speed.extra_info["ratio"] = beside.ratio
        print(f"\n{beside}")


def test_frame_of_resnet50_core_by_core(speed: Any, resnet50: dict[str, Path]) -> None:
    """One int8 frame carried out in 256 cores, parameters loaded before."""
    import zapdeploy as zd
    from zapdeploy.forecasters import sample_inputs
    from zapdeploy.sim.core_array import core_by_core

    (program,) = zd.compile(resnet50["int8"]).stages
    inputs = sample_inputs("resnet50", 1)
    found = speed.pedantic(core_by_core(program), args=(inputs,), rounds=3, warmup_rounds=1)
    assert len(found) == 1


def test_schedule_of_resnet50_int4(speed: Any, resnet50: dict[str, Path]) -> None:
    """Every unit and link of one frame in time; kernels compiled and program loaded before."""
    import zapdeploy as zd

    program = zd.compile(resnet50["int4"])
    timed = {"scheduled": True}
    found = speed.pedantic(zd.simulate, args=(program,), kwargs=timed, rounds=3, warmup_rounds=1)
    assert found.stages[0].timeline.level == "scheduled"


def test_report(speed: Any, tmp_path: Path) -> None:
    """The page of two simulated rows, from the folder to the text."""
    report = pytest.importorskip("zapdeploy.benchmarks.report")
    from zapdeploy.benchmarks import BenchmarkRequest, ModelSize, run_benchmark

    request = BenchmarkRequest(
        ("linear-c4",), ("northpole-sim",), ("int8",), size=ModelSize(neurons=200)
    )
    run_benchmark(request, tmp_path)
    page = speed.pedantic(
        lambda: report.report_html(report.load_report_data(tmp_path)), rounds=5, warmup_rounds=1
    )
    assert "linear-c4" in page
