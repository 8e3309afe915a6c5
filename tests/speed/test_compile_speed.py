"""Whole commands, start-up included, and one frame of ResNet-50 beside ONNX Runtime's best.

Run by `make speed`. Figures to quote are the medians; ratios are of runs in the same process.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow
COMMAND = (sys.executable, "-m", "zapdeploy")


def _call(*arguments: object) -> None:
    subprocess.run(
        [*COMMAND, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, timeout=300
    )


def test_help(benchmark: Any) -> None:
    """`zapdeploy --help`."""
    benchmark.pedantic(_call, args=("--help",), rounds=10, warmup_rounds=1)


def test_compile_resnet50_int4(benchmark: Any, resnet50: dict[str, Path], tmp_path: Path) -> None:
    """`zapdeploy compile resnet50-int4.onnx --target northpole-sim`, from nothing to the file."""
    arguments = ("compile", resnet50["int4"], "--target", "northpole-sim", "-o", tmp_path / "r.zap")
    benchmark.pedantic(_call, args=arguments, rounds=5, warmup_rounds=1)


def test_functional_frame_of_resnet50_int8(benchmark: Any, resnet50: dict[str, Path]) -> None:
    """One frame in the functional simulator; `extra_info` has the ratio to ONNX Runtime's best."""
    from zapdeploy.compile.frontend import import_model
    from zapdeploy.forecasters import sample_inputs
    from zapdeploy.sim.functional import Network

    inputs = sample_inputs("resnet50", 1)
    network = Network.of(import_model(resnet50["int8"]).graph)
    found = benchmark.pedantic(network.run, args=(inputs,), rounds=15, warmup_rounds=2)
    best = _onnxruntime_best_s(resnet50["int8"], inputs)
    assert len(found) == 1
    if benchmark.stats is not None:
        benchmark.extra_info["onnxruntime_best_s"] = best
        benchmark.extra_info["ratio"] = benchmark.stats.stats.median / best


def _onnxruntime_best_s(model: Path, inputs: dict[str, np.ndarray]) -> float:
    """Median seconds of a frame with the best number of threads."""
    import onnxruntime

    medians = []
    for threads in (1, 2):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        times = []
        for _ in range(25):
            start = time.perf_counter()
            session.run(None, inputs)
            times.append(time.perf_counter() - start)
        medians.append(float(np.median(times[5:])))
    return min(medians)
