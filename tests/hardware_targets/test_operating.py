"""Operating points: clock, voltage and temperature against arithmetic by hand."""

from __future__ import annotations

import math

import pytest

from zapdeploy.errors import TargetError
from zapdeploy.hardware_targets import load_target, parse_target, target_text


def _number(text: str) -> str:
    return f'{{ is = "{text}", kind = "assumed", error = "5 %", why = "a test wants it" }}'


TEXT = f"""
schema = 2
name = "mine"
summary = "s"
extends = "northpole-sim"
[operation]
voltage = {_number("0.8 V")}
temperature = {_number("60 celsius")}
leakage_share = {_number("0.5")}
leakage_scale = {_number("36 celsius")}
[operating_points.slow]
clock = {_number("200 MHz")}
voltage = {_number("0.6 V")}
[operating_points.hot]
temperature = {_number("96 celsius")}
"""


def test_without_a_point_nothing_changes() -> None:
    assert parse_target(TEXT, "x").clock_hz == load_target("northpole-sim").clock_hz


def test_a_slower_clock_at_a_lower_voltage() -> None:
    """At 3/4 of the voltage and half the clock: dynamic energy 9/16, leakage 27/64, clock tree
    9/32; static power half of each of the two."""
    found, base = parse_target(f'operating_point = "slow"\n{TEXT}', "x"), parse_target(TEXT, "x")
    assert found.clock_hz == 200e6
    assert found.energy.memory_byte.value == pytest.approx(9 / 16 * base.energy.memory_byte.value)
    hop, before = found.energy.noc_bit_hop.model, base.energy.noc_bit_hop.model
    assert hop.high == pytest.approx(9 / 16 * before.high)
    share = 0.5 * 27 / 64 + 0.5 * 9 / 32
    assert found.energy.static_power.low == pytest.approx(share * base.energy.static_power.low)
    assert found.energy.host_byte == base.energy.host_byte


def test_leakage_grows_by_e_every_36_degrees() -> None:
    found, base = parse_target(f'operating_point = "hot"\n{TEXT}', "x"), parse_target(TEXT, "x")
    grown = 0.5 * math.e + 0.5
    assert found.energy.idle_power.value == pytest.approx(grown * base.energy.idle_power.value)
    assert found.energy.mac_8bit == base.energy.mac_8bit


def test_a_point_is_asked_for_by_name(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "mine.toml"
    path.write_text(TEXT)
    assert load_target(f"{path}@slow").clock_hz == 200e6
    text = target_text(f"{path}@slow")[1]
    assert parse_target(text, "the .zap file's text") == load_target(f"{path}@slow")
    with pytest.raises(TargetError, match="operating point must be one of slow, hot, not 'fast'"):
        load_target(f"{path}@fast")
    with pytest.raises(TargetError, match="operating point must be one of there are none"):
        load_target("northpole-sim@slow")
