"""Every result of `zd` can be looked at: a short repr, a table, rows for pandas, a figure."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

import zapdeploy as zd
from tests.benchmarks.chips import small_model
from tests.benchmarks.examples import row, write_network
from tests.compile.frontend.dialects import Style, Writer, residual_network
from zapdeploy.benchmarks.simulated.validation import Prediction, Role
from zapdeploy.tables import Answer


@cache
def folder() -> Path:
    """Kept until the process ends, with a small network in it."""
    kept = TemporaryDirectory()
    KEPT.append(kept)
    return Path(kept.name)


KEPT: list[TemporaryDirectory[str]] = []


@cache
def model() -> Path:
    return small_model(folder())


@cache
def program() -> zd.Pipeline:
    return zd.compile(model(), batch=2)


@cache
def images() -> Path:
    return residual_network(Writer(), Style())[0].save(folder() / "i.onnx")


@cache
def space() -> zd.SpaceProgram:
    return zd.compile_space(images(), chips=2)


@cache
def turns() -> zd.TurnsProgram:
    return zd.compile_turns(images())


def quantized() -> zd.QuantizeRecord | zd.ModuleRecord:
    return zd.quantize(write_network(folder() / "float.onnx"), folder() / "int8.onnx")


def ran() -> zd.Outputs:
    (given,) = program().inputs
    return zd.run(program(), {given.name: np.ones((2, *given.shape[1:]), np.float32)})


def benched() -> zd.BenchmarkResult:
    """Rows of every kind; what measuring makes is tested with the benchmark."""
    rows = (row(), row("northpole-sim"), row("gpu", energy_per_frame=None, latency_s=None))
    return zd.BenchmarkResult(folder(), rows, (), {"settings": {"frame_rate_hz": None}})


def validated() -> zd.Validation:
    """As `validate` makes it, which takes minutes, but for its numbers."""
    inside = Prediction("rate", "1/s", 100.0, 90.0, 80.0, 110.0, Role.COMPARED, "a paper", "errors")
    return zd.Validation((inside,))


def streamed() -> zd.StreamReport:
    pytest.importorskip("msgpack")
    from tests.streaming.conftest import Kept, Listed
    from zapdeploy.streaming.messages import Frame

    forecaster = zd.Forecaster(forecaster_file())
    frames = [Frame(i, np.ones(16, np.float32), 0) for i in range(8)]
    return zd.stream(forecaster, Listed(frames), Kept(), zd.StreamOptions(frame_rate_hz=10))


def forecaster_file() -> Path:
    pytest.importorskip("torch")
    from zapdeploy.forecasters import export_model

    path = folder() / "time-mix-c4.onnx"
    export_model("time-mix-c4", path, neurons=16, revin=False)
    return path


def explored() -> zd.Exploration:
    pytest.importorskip("pyarrow")
    spec = {"name": "small", "axes": {"model": str(model()), "batch": [1, 2]}}
    return zd.explore(spec, folder() / "explored", workers=0)


MADE: dict[str, Callable[[], Answer]] = {
    "check": lambda: zd.check(model()),
    "compile": program,
    "compile_space": space,
    "compile_turns": turns,
    "quantize": quantized,
    "run": ran,
    "simulate": lambda: zd.simulate(program(), level="estimate"),
    "simulate_space": lambda: zd.simulate_space(space(), level="estimate"),
    "simulate_turns": lambda: zd.simulate_turns(turns(), level="estimate"),
    "evaluate": lambda: zd.evaluate(["mean"], "synthetic", neurons=8, windows=2),
    "bench": benched,
    "sweep": lambda: zd.sweep(model(), batches=(1, 2), level="estimate"),
    "validate": validated,
    "stream": streamed,
    "explore": explored,
}


def test_every_function_is_here() -> None:
    functions = {n for n in zd.__all__ if n.islower()} - {"load", "version"}
    assert functions == set(MADE)


@pytest.mark.parametrize("name", MADE)
def test_a_result_can_be_looked_at(name: str) -> None:
    result: Any = MADE[name]()
    assert isinstance(result, Answer)
    assert repr(result).startswith(f"<{type(result).__name__}")
    assert len(repr(result)) < 160
    assert "\n" not in repr(result)
    html = result._repr_html_()
    assert html.startswith("<table>")
    assert html.count("<tr>") > 1
    records = result.records()
    assert records
    assert all(row.keys() == records[0].keys() for row in records)
    pytest.importorskip("pandas")
    frame = result.to_frame()
    assert len(frame) == len(records)
    assert list(frame.columns) == list(records[0])
    pytest.importorskip("plotly")
    figure = result.plot()
    assert figure.data
    assert figure.to_json()
