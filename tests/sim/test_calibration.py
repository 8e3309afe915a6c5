"""The one energy number that is taken from a published result."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from tests.networks import northpole, resnet50_program, small_cnn_program
from zapdeploy.compile.mapping.pricing import Counts, joules_of
from zapdeploy.errors import DataError
from zapdeploy.sim.calibration import YARDSTICK_POWER_W, calibrate, with_calibration
from zapdeploy.sim.results import Result, summarize
from zapdeploy.sim.schedule import scheduled_chip


@cache
def scheduled_resnet50() -> Result:
    program = resnet50_program()
    return summarize(program, scheduled=[scheduled_chip(program)])


def test_the_target_file_holds_what_calibration_gives() -> None:
    """ResNet-50's shapes at 4 bit, batch 32; the file's value comes from the exported network."""
    result = scheduled_resnet50()
    assert result.batch == 32
    stated = result.pipeline.target.energy.calibration.value
    assert calibrate(result) == pytest.approx(stated, abs=0.01)
    kept = result.pipeline.target.calibration
    assert kept is not None
    assert kept.time.value == pytest.approx(result.flow.interval_s, rel=0.02)
    for name, count in kept.counts.items():
        assert getattr(result.counts, name) == pytest.approx(count, rel=0.15), name


def test_calibrated_chip_draws_the_published_power() -> None:
    result = scheduled_resnet50()
    power = result.power_w
    assert power.value == pytest.approx(YARDSTICK_POWER_W, abs=1.5)
    assert 69 < power.low < YARDSTICK_POWER_W < power.high < 79
    assert power.interval == "90 %, given 74 W in ResNet-50"


def test_calibration_changes_no_time() -> None:
    program = small_cnn_program()
    other = replace(program, target=with_calibration(program.target, 0.1))
    assert summarize(other).flow == summarize(program).flow


def test_the_file_draws_its_own_power() -> None:
    """The events and the time that the file keeps cost 74 W at the calibration that it keeps."""
    target = northpole()
    assert target.calibration is not None
    seconds = target.calibration.time.value
    joules = joules_of(Counts(**target.calibration.counts), seconds, target)
    assert joules / seconds == pytest.approx(YARDSTICK_POWER_W, abs=0.1)


def test_impossible_power_is_refused() -> None:
    with pytest.raises(DataError, match=r"power must lie in the brackets' .* not 1000 W"):
        calibrate(summarize(small_cnn_program()), 1000)
