"""A benchmark run in a process of its own, slow enough to be killed. Arguments: model, folder."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

from tests.benchmarks.examples import QUICK, PretendedMachine
from zapdeploy.benchmarks import BenchmarkRequest, benchmark_outcomes


def killable_request(model: str) -> BenchmarkRequest:
    return BenchmarkRequest(models=(model,), targets=("cpu",), effort=QUICK, frame_rate_hz=10.0)


def main() -> None:
    model, folder = sys.argv[1:]
    tools = replace(PretendedMachine().tools(), busy_share=lambda: time.sleep(0.3))
    for outcome in benchmark_outcomes(killable_request(model), folder, tools=tools):
        print(outcome.key, flush=True)


if __name__ == "__main__":
    main()
