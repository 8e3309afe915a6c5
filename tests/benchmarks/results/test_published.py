"""Published rows equal the facts they were copied from."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from zapdeploy.benchmarks import Row, Scenario
from zapdeploy.benchmarks.results.published import published_results, published_rows
from zapdeploy.quantities import Provenance

FACTS = Path(__file__).with_name("mlperf_resnet50.csv")


def _facts() -> list[dict[str, str]]:
    lines = FACTS.read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def _number(text: str) -> float | None:
    return float(text) if text else None


def _row(target: str, scenario: Scenario) -> Row:
    rows = [r for r in published_rows("resnet50") if r.target == target and r.scenario is scenario]
    assert len(rows) == 1
    return rows[0]


def test_file_holds_every_fact_unchanged() -> None:
    results = {(r.device, r.round): r for r in published_results()}
    assert len(results) == len(_facts()) + 1  # and NorthPole
    for fact in _facts():
        result = results[fact["device"], fact["round"]]
        assert result.kind == fact["kind"]
        assert result.throughput_fps == _number(fact["throughput_fps"])
        assert result.batch == _number(fact["batch"])
        assert result.singlestream_ms == _number(fact["singlestream_ms"])
        assert result.power_w == _number(fact["power_w"])
        assert result.power_kind == fact["power_kind"]
        assert result.process_nm == _number(fact["process_nm"])
        assert fact["round"] in result.source


def test_every_row_is_published_with_source_and_boundary() -> None:
    rows = published_rows("resnet50", 10.0)
    assert len({row.key for row in rows}) == len(rows)
    for row in rows:
        assert row.kind is Provenance.PUBLISHED
        assert row.source
        assert row.frame_rate_hz == 10.0
        assert row.boundary in {"chip", "card", "system", "not stated"}


def test_datasheet_power_is_a_bound() -> None:
    """T4: 70 W / 6121.3 frames/s = 11.436 mJ at most."""
    row = _row("NVIDIA T4 (v3.0)", Scenario.OFFLINE)
    assert row.energy_is_bound
    assert row.boundary == "card"
    assert row.energy_per_frame is not None
    assert row.energy_per_frame.value == pytest.approx(0.011436, rel=1e-4)
    assert row.energy_per_frame.low == 0
    assert "upper bound" in row.note


def test_power_at_the_wall_is_the_systems() -> None:
    """Eight H100 cards: 2219.6 W / 353232 frames/s = 6.2837 mJ."""
    row = _row("8x H100-PCIe MaxQ (v3.0)", Scenario.OFFLINE)
    assert not row.energy_is_bound
    assert row.boundary == "system"
    assert row.energy_per_frame is not None
    assert row.energy_per_frame.value == pytest.approx(0.0062837, rel=1e-4)


def test_latency_of_another_run_has_no_energy() -> None:
    row = _row("NVIDIA T4 (v3.0)", Scenario.SINGLE_STREAM)
    assert (row.batch, row.latency_s, row.frames_per_s) == (1, 0.000812, None)
    assert row.energy_per_frame is None


def test_single_stream_run_at_the_wall_has_both() -> None:
    """14.8 W / 676 frames/s = 21.893 mJ."""
    row = _row("Jetson AGX Orin MaxQ (v3.0)", Scenario.SINGLE_STREAM)
    assert (row.latency_s, row.frames_per_s) == (0.00148, 676.0)
    assert row.energy_per_frame is not None
    assert row.energy_per_frame.value == pytest.approx(0.021893, rel=1e-4)


def test_northpole_boundary_and_precision_are_not_stated() -> None:
    """74 W / 42460 frames/s = 1.7428 mJ, as the facts' own arithmetic has it."""
    row = _row("IBM NorthPole (Science 2023)", Scenario.OFFLINE)
    assert row.energy_per_frame is not None
    assert row.energy_per_frame.value == pytest.approx(1.7428e-3, rel=1e-4)
    assert row.boundary == row.precision == "not stated"
    assert "second hand" in row.note


def test_transistors_are_given_with_their_source_or_not_at_all() -> None:
    """Science 2023: 22e9; H100 white paper: 80e9. 42460 / 22 = 1930 frames/s a billion."""
    for result in published_results():
        assert (result.transistors is None) == (not result.transistors_source)
    northpole = _row("IBM NorthPole (Science 2023)", Scenario.OFFLINE)
    assert northpole.frames_per_s_per_billion_transistors == pytest.approx(1930)
    assert _row("NVIDIA H100-SXM (v2.1)", Scenario.OFFLINE).transistors == 80e9
    eight = _row("8x A100-PCIe MaxQ (v3.0)", Scenario.OFFLINE)
    assert eight.transistors == pytest.approx(8 * 54.2e9)


def test_other_models_have_no_published_rows() -> None:
    assert published_rows("tsmixer-c4") == ()
