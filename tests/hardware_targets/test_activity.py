"""What a file may say about prices by value, and what holds when it says nothing."""

from __future__ import annotations

import re

import pytest

from tests.hardware_targets.test_machine_kinds import chip, number
from zapdeploy.compile.mapping.levels import ALTERNATING, RANDOM, factor, shares_of, zeros
from zapdeploy.compile.mapping.pricing import Counts, energy_of, joules_of
from zapdeploy.errors import TargetError
from zapdeploy.hardware_targets import Target, built_in_names, load_target

EVENTS = tuple(vars(Counts()))


@pytest.mark.parametrize("name", built_in_names())
def test_shares_add_up_to_the_stated_price(name: str) -> None:
    target = load_target(name)
    for event in EVENTS:
        assert sum(shares_of(event, target)) == pytest.approx(1)
        assert min(shares_of(event, target)) >= 0
        assert factor(event, RANDOM, target) == pytest.approx(1)
        for gated in (False, True):
            assert factor(event, zeros([event], gated)[event], target) <= 1
        assert factor(event, ALTERNATING, target) >= 1


def test_a_file_that_says_nothing_has_what_was_measured() -> None:
    """The defaults are northpole-sim's numbers, which come with their sources."""
    northpole, bare = load_target("northpole-sim"), load_target("tile64-sim")
    assert bare.energy.activity.own_mac is None
    for event in EVENTS:
        assert shares_of(event, bare) == pytest.approx(shares_of(event, northpole))
    assert not northpole.energy.activity.gated
    assert load_target("runai200-sim").energy.activity.gated


def test_a_file_can_say_otherwise() -> None:
    words = {"idle": number("0.5"), "ones": number("0.1")}
    mine = chip({"energy.activity.network": words})
    assert shares_of("model_bit_hops", mine) == pytest.approx((0.5, 0.1, 0.4, 0))
    assert shares_of("memory_bytes", mine) == shares_of(
        "memory_bytes", load_target("northpole-sim")
    )


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"energy.activity.memory": {"idle": number("0.9"), "ones": number("0.2")}},
            "energy.activity.memory shares must add up to at most 1, not 1.1",
        ),
        (
            {"energy.activity.gates_zeros": {"is": True, "kind": "assumed"}},
            "energy.activity.gates_zeros an assumed switch must say why",
        ),
        (
            {"energy.activity.gates_zeros": {"is": True, "kind": "published"}},
            "energy.activity.gates_zeros a published switch must name its source",
        ),
        (
            {"energy.activity.mac": {k: number("1.5") for k in ("idle", "clocked", "operands")}},
            "energy.activity.mac shares must add up to at most 1, not 3",
        ),
        ({"energy.activity.adder": {}}, "unknown key 'energy.activity.adder'"),
    ],
)
def test_shares_that_cannot_be(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(TargetError, match=re.escape(complaint)):
        chip(changes)


def _products(target: Target, gated: bool) -> float:
    return joules_of(Counts(macs_8bit=1), 0.0, target, zeros(EVENTS, gated))


def test_zeros_of_a_product() -> None:
    """0.26 of the stated price where zeros are withheld, 0.26 + 0.165 where they are not."""
    target = load_target("northpole-sim")
    stated = joules_of(Counts(macs_8bit=1), 0.0, target)
    assert _products(target, True) / stated == pytest.approx(0.26)
    assert _products(target, False) / stated == pytest.approx(0.425)


def test_counted_zeros_replace_the_assumed_saving() -> None:
    """A price that assumes a share of zeros gives way to that of random data, not to both."""
    plain = chip({"energy.mac_8bit": {**number("0.069 pJ"), "low": "0.03 pJ", "high": "0.16 pJ"}})
    gated = chip({"energy.zero_gating": "0.5"})
    counts = Counts(macs_8bit=10**9)
    for levels in ({}, zeros(EVENTS, True)):
        found, expected = (energy_of(counts, 0.0, t, 0.0, levels) for t in (gated, plain))
        assert found.value == pytest.approx(expected.value, rel=0.2)  # calibrations differ
        assert found.value > 1.5 * energy_of(counts, 0.0, gated).value or levels


def test_intervals_hold_the_shares_errors() -> None:
    """Zeros leave more open than random data, whose price is as stated."""
    target = load_target("northpole-sim")
    counts = Counts(macs_8bit=10**9)
    random, quiet = (energy_of(counts, 0.0, target, 0.0, v) for v in ({}, zeros(EVENTS, True)))
    assert quiet.high / quiet.low > random.high / random.low
