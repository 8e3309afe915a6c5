"""Benchmarks: simulated chips, measured CPUs and GPUs, and published results, side by side.

    request = BenchmarkRequest(models=("resnet50",), frame_rate_hz=10)
    result = run_benchmark(request, "results", resume=True)
    print(result.as_json()["rows"])

ONNX Runtime, Zeus and torch load when a piece of work needs them, not with this package.
"""

from zapdeploy.benchmarks.request import BenchmarkRequest
from zapdeploy.benchmarks.results import BenchmarkResult, load_result
from zapdeploy.benchmarks.rows import NotRun, Row, Scenario
from zapdeploy.benchmarks.run import Tools, benchmark_outcomes, run_benchmark
from zapdeploy.benchmarks.timing_loop import Effort
from zapdeploy.benchmarks.workloads import ModelSize

__all__ = [
    "BenchmarkRequest",
    "BenchmarkResult",
    "Effort",
    "ModelSize",
    "NotRun",
    "Row",
    "Scenario",
    "Tools",
    "benchmark_outcomes",
    "load_result",
    "run_benchmark",
]
