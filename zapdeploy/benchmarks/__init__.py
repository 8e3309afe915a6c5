"""Benchmarks: simulated chips, measured CPUs and GPUs, and published results, side by side.

    request = BenchmarkRequest(models=("resnet50",), frame_rate_hz=10)
    result = run_benchmark(request, "results", resume=True)
    print(result.as_json()["rows"])

ONNX Runtime, Zeus and torch load when a piece of work needs them, not with this package.
"""

from zapdeploy.benchmarks.models.workloads import ModelSize
from zapdeploy.benchmarks.request import BenchmarkRequest, Effort
from zapdeploy.benchmarks.results.changes import Change, Changes, Verdict, compare_results
from zapdeploy.benchmarks.results.comparison import Comparison, compare_rows
from zapdeploy.benchmarks.results.published import published_rows
from zapdeploy.benchmarks.results.published_ratios import Ratio, published_ratios
from zapdeploy.benchmarks.results.results import BenchmarkResult, load_result
from zapdeploy.benchmarks.results.rows import NotRun, Row, Scenario
from zapdeploy.benchmarks.results.table import print_comparison
from zapdeploy.benchmarks.run import Tools, benchmark_outcomes, run_benchmark

__all__ = [
    "BenchmarkRequest",
    "BenchmarkResult",
    "Change",
    "Changes",
    "Comparison",
    "Effort",
    "ModelSize",
    "NotRun",
    "Ratio",
    "Row",
    "Scenario",
    "Tools",
    "Verdict",
    "benchmark_outcomes",
    "compare_results",
    "compare_rows",
    "load_result",
    "print_comparison",
    "published_ratios",
    "published_rows",
    "run_benchmark",
]
