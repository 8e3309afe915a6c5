"""The table for people says of every number what it is."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.benchmarks.examples import row
from zapdeploy.benchmarks import NotRun, Row, Scenario, compare_rows, print_comparison
from zapdeploy.benchmarks.results.published import published_rows
from zapdeploy.benchmarks.results.published_ratios import published_ratios
from zapdeploy.benchmarks.results.rows import MAE, TOP1
from zapdeploy.benchmarks.results.table import si_text
from zapdeploy.benchmarks.results.wide_table import accuracy_text, print_more
from zapdeploy.quantities import Provenance


def _printed(*rows: Row, width: int = 200, frame_rate_hz: float | None = None) -> str:
    reason = NotRun("k", rows[0].model, "int4", "cpu", Scenario.OFFLINE, "no [bold]such kernels")
    console = Console(file=io.StringIO(), width=width)
    comparison = compare_rows(rows, [reason], frame_rate_hz=frame_rate_hz)
    print_comparison(comparison, console, published_ratios(rows))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00193, "1.93 mJ"),
        (2.5, "2.5 J"),
        (42e-6, "42 µJ"),
        (3e-13, "0.3 pJ"),
        (0.0, "0 J"),
        (1234.0, "1.23 kJ"),
    ],
)
def test_si_text(value: float, text: str) -> None:
    assert si_text(value, "J") == text


def test_a_line_has_its_numbers_with_words_and_boundary() -> None:
    text = _printed(row(), frame_rate_hz=10.0)
    (line,) = (line for line in text.splitlines() if "cpu int8  " in line and "100" in line)
    for part in ("10 ms", "measured", "yes", "50 [20, 100] mJ", "modelled", "chip", "20", "1x"):
        assert part in line


def test_notes_explain_every_word_and_boundary_that_appears() -> None:
    text = _printed(row())
    assert "measured: a clock or a meter, on this machine." in text
    assert "modelled: a formula over assumptions" in text
    assert "simulated:" not in text
    assert "boundary chip:" in text
    assert "boundary system:" not in text
    assert "cpu int4: not run: no [bold]such kernels" in text


def test_datasheet_bounds_and_other_boundaries_are_marked() -> None:
    text = _printed(row(model="resnet50"), *published_rows("resnet50"))
    (line,) = (line for line in text.splitlines() if "NVIDIA T4" in line and "6,121" in line)
    assert "<= 11.4 mJ" in line
    assert ">= 87.4" in line
    assert line.rstrip().endswith("*")
    assert "* compares different boundaries" in text
    assert "IBM NorthPole (Science 2023) against NVIDIA H100-SXM (v2.1): 4.94x" in text
    assert "claimed: 5x, which agrees" in text


def test_narrow_terminals_get_two_tables() -> None:
    text = _printed(row(), width=100)
    assert "net: speed" in text
    assert "net: energy" in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_the_microscope_comes_first() -> None:
    """Does it keep up, and what does a frame cost with the waiting: before all other figures."""
    text = _printed(row(), width=100, frame_rate_hz=10.0)
    lines = text.splitlines()
    assert lines[0].strip() == "net: does it keep up with 10 Hz?"
    assert max(map(len, lines)) <= 100
    assert lines.index(lines[0]) < next(i for i, line in enumerate(lines) if "net: speed" in line)
    first = next(line for line in lines if line.strip().startswith("cpu int8"))
    assert first.split()[2] == "yes"
    wide = _printed(row(), frame_rate_hz=10.0)
    assert wide.index("keeps up,") < wide.index("energy/frame,") < wide.index("latency,")


def test_a_short_measurement_stands_with_its_spread() -> None:
    text = _printed(row(noise=0.07, configuration={"short": True}))
    assert "100 ±7%" in text
    assert "±: a short measurement" in text
    assert "±" not in _printed(row(noise=0.07, configuration={"short": False}))


def test_shortest_deadline_met_is_in_the_table() -> None:
    text = _printed(row())
    (line,) = (line for line in text.splitlines() if "cpu int8  " in line and "10 ms" in line)
    assert "100 ms" in line
    assert "within: the shortest of 914, 278, 100, 12, 1 ms" in text


def test_the_second_table_has_tails_deadlines_and_limits() -> None:
    chip = row(
        "chip", kind=Provenance.SIMULATED, latency=None, latency_s=0.0005, limiter="host link",
        transistors=10e9, accuracy=0.0234, accuracy_metric="MAE",
    )  # fmt: skip
    console = Console(file=io.StringIO(), width=160)
    print_more(compare_rows([row(), chip]), console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    found = {line.split()[0]: line.split() for line in text.splitlines() if " int8 " in line}
    cpu, simulated = found["cpu"], found["chip"]
    assert cpu[2:] == ["10", "ms", "20", "ms", "yes", "yes", "yes", "no", "no", "-", "-", "-"]
    assert simulated[2:] == [
        *("500", "µs", "500", "µs", "yes", "yes", "yes", "yes", "yes"),
        *("10", "MAE", "0.0234", "host", "link"),
    ]
    assert "within 12 ms: one plane of ZAPBench's volume." in text


@pytest.mark.parametrize(
    ("accuracy", "metric", "text"),
    [(0.02345, MAE, "MAE 0.02345"), (0.8359, TOP1, "top-1 as fp32 84%"), (None, "", "-")],
)
def test_accuracy_names_its_metric(accuracy: float | None, metric: str, text: str) -> None:
    (model,) = compare_rows([row(accuracy=accuracy, accuracy_metric=metric)]).models
    assert accuracy_text(model.lines[0]) == text


def test_noise_is_noted() -> None:
    assert "net, cpu int8: varied by 40% within the run" in _printed(row(noise=0.4))
    assert "varied" not in _printed(row(noise=0.01))


def test_text_of_a_user_is_not_taken_for_markup() -> None:
    assert "[red]net.onnx" in _printed(row("[red]net.onnx"))
