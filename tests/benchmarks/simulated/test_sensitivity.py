"""One assumed number at a time: what is held, what moves, and what does not fit."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks.chips import small_chip, small_model
from zapdeploy.benchmarks.simulated.sensitivity import (
    Effect,
    Sensitivity,
    sensitivity,
    sorted_by_effect,
    with_number,
)
from zapdeploy.hardware_targets import load_target

BANDWIDTH = '{ is = "0.06 GB/s", kind = "assumed", error = "50 %", why = "a test wants it" }'
MEMORY = '{ is = "32 KiB", kind = "assumed", low = "64 B", high = "64 KiB", why = "a test" }'


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Sensitivity:
    """A small network on a chip whose link and memory alone are assumed, beside its energies."""
    folder = tmp_path_factory.mktemp("sensitivity")
    chip = small_chip(folder, host_bandwidth=BANDWIDTH, core_memory=MEMORY)
    return sensitivity(small_model(folder, 64), str(chip), batch=2)


def _effect(found: Sensitivity, key: str) -> Effect:
    return next(effect for effect in found.effects if effect.key == key)


def test_only_assumed_numbers_are_changed(found: Sensitivity) -> None:
    keys = {effect.key for effect in found.effects}
    assert {key for key in keys if not key.startswith("energy.")} == {
        "core.memory",
        "host.bandwidth",
    }


def test_what_the_host_link_limits_moves_with_it(found: Sensitivity) -> None:
    """30 and 90 MB/s around 60: half and one and a half times the frames."""
    effect = _effect(found, "host.bandwidth")
    assert effect.ends == pytest.approx((3e7, 9e7))
    stated = found.frames_per_s
    assert effect.frames_per_s == pytest.approx((stated / 2, stated * 1.5), rel=1e-6)


def test_prices_change_energy_and_no_time(found: Sensitivity) -> None:
    prices = [effect for effect in found.effects if effect.key.startswith("energy.")]
    assert len(prices) > 10
    for effect in prices:
        assert effect.frames_per_s == (found.frames_per_s, found.frames_per_s)
    low, high = _effect(found, "energy.static_power").energy_j
    assert low is not None
    assert high is not None
    assert low < found.energy_j < high


def test_static_power_changes_energy_by_its_own_share(found: Sensitivity) -> None:
    """2.5 W and 10 W around 5 W: the change is power times the seconds of a frame."""
    low, high = _effect(found, "energy.static_power").energy_j
    assert low is not None
    assert high is not None
    seconds = 1 / found.frames_per_s
    assert found.energy_j - low == pytest.approx(2.5 * seconds, rel=1e-9)
    assert high - found.energy_j == pytest.approx(5 * seconds, rel=1e-9)


def test_a_chip_that_it_does_not_fit_has_no_numbers(found: Sensitivity) -> None:
    """64 x 16 + 16 x 4 weights of a byte do not fit 64 cores of 64 bytes with their activations."""
    effect = _effect(found, "core.memory")
    assert effect.frames_per_s[0] is None
    assert effect.energy_j[0] is None
    assert effect.frames_per_s[1] is not None


@pytest.mark.parametrize(
    ("key", "value", "outputs"),
    [("core.matrix_unit.input_width", 16.0, 2.0), ("core.matrix_unit.ops_per_mac", 1.0, 2.0)],
)
def test_the_published_peak_is_held(key: str, value: float, outputs: float) -> None:
    """Half the inputs, or half the operations a MAC counts for, are twice the outputs."""
    chip = load_target("northpole-sim")
    changed = with_number(chip, key, value)
    ratio = changed.core.matrix_unit.outputs.value / chip.core.matrix_unit.outputs.value
    assert ratio == pytest.approx(outputs)
    peaks = {name: total for name, (_, total) in changed.derived_totals().items() if "peak" in name}
    assert peaks == pytest.approx({n: chip.derived_totals()[n][1] for n in peaks})
    assert len(peaks) == 3


def test_other_numbers_change_alone() -> None:
    chip = load_target("northpole-sim")
    changed = with_number(chip, "host.bandwidth", 1e9)
    assert changed.host.bandwidth.value == 1e9
    assert changed.core == chip.core
    assert changed.networks == chip.networks


def test_the_interval_joins_effects_as_the_root_of_their_squares() -> None:
    """Down by 3 and by 4 is down by 5; up by 12 is up by 12; no end, no effect."""
    both = Effect("a", "1", (0.5, 1.5), "", (97.0, 112.0), (1.0, 1.0))
    down = Effect("b", "1", (0.5, 1.5), "", (96.0, None), (1.0, None))
    neither = Effect("c", "1", (0.5, 1.5), "", (None, None), (None, None))
    found = Sensitivity("m", "t", 1, 100.0, 1.0, (both, down, neither))
    assert found.interval_fps == pytest.approx((95, 112))
    assert [effect.key for effect in sorted_by_effect(found)] == ["c", "a", "b"]


def test_document_is_plain(found: Sensitivity) -> None:
    document = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert set(document) == {
        *("model", "target", "batch", "frames_per_s", "energy_j", "interval_fps", "effects"),
    }
    assert set(document["effects"][0]) == {
        *("key", "stated", "ends", "unit", "frames_per_s", "energy_j"),
    }
    assert document["interval_fps"]["low"] <= document["frames_per_s"]
