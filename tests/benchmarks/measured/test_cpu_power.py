"""The power model: arithmetic by hand, and its file."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

import pytest
from pydantic import ValidationError

from zapdeploy.benchmarks.measured.cpu_power import CpuPowerFile, cpu_power
from zapdeploy.quantities import Provenance


def test_known_cpu_has_its_share_of_the_package() -> None:
    """10 of 40 cores of 270 W: 67.5 W, times 0.5 to 1.5; idle a quarter, 10 to 50 %."""
    power = cpu_power("Intel(R) Xeon(R) Platinum 8380 CPU @ 2.30GHz", 10)
    assert power.active.kind is Provenance.MODELLED
    assert (power.active.low, power.active.value, power.active.high) == (33.75, 67.5, 101.25)
    assert power.idle.value == pytest.approx(16.875)
    assert power.idle.low == pytest.approx(3.375)
    assert power.idle.high == pytest.approx(50.625)
    assert "270 W" in power.source


def test_unknown_cpu_has_the_interval_of_servers() -> None:
    power = cpu_power("Some CPU", 2)
    assert power.boundary == "cores in use"
    assert power.active.low == pytest.approx(2 * 3.9 * 0.5)
    assert power.active.high == pytest.approx(2 * 6.8 * 1.5)
    assert "CPU model not known" in power.source


def test_interval_of_the_unknown_spans_the_known() -> None:
    file = _file()
    shares = [270 / 40, 500 / 128]
    unknown = CpuPowerFile.model_validate(file).unknown.package
    assert unknown.low <= min(shares)
    assert unknown.high >= max(shares)


def test_assumption_without_a_reason_is_refused() -> None:
    file = _file()
    del file["load"]["factor"]["why"]
    with pytest.raises(ValidationError, match="an assumed number must say why"):
        CpuPowerFile.model_validate(file)


def test_source_that_is_not_listed_is_refused() -> None:
    file = _file()
    file["load"]["idle_share"]["source"] = "NOBODY"
    with pytest.raises(ValidationError, match=r"source must be one of \[sources\], not 'NOBODY'"):
        CpuPowerFile.model_validate(file)


def _file() -> dict[str, Any]:
    text = resources.files("zapdeploy.benchmarks.measured") / "cpu_power.toml"
    return tomllib.loads(text.read_text(encoding="utf-8"))
