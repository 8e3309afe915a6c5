"""The one energy number that is taken from a published result."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.networks import resnet50_program, small_cnn_program
from zapdeploy.compile.mapping.pricing import energy_of
from zapdeploy.errors import DataError
from zapdeploy.sim.calibration import YARDSTICK_POWER_W, calibrate, with_calibration
from zapdeploy.sim.results import summarize


def test_the_target_file_holds_what_calibration_gives() -> None:
    """ResNet-50's shapes at 4 bit, batch 32; the file's value comes from the exported network."""
    program = resnet50_program()
    assert program.options.batch == 32
    stated = program.target.energy.calibration.value
    assert calibrate(program) == pytest.approx(stated, abs=0.01)


def test_calibrated_chip_draws_the_published_power() -> None:
    program = resnet50_program()
    target = with_calibration(program.target, calibrate(program))
    power = summarize(replace(program, target=target)).power_w
    assert power.value == pytest.approx(YARDSTICK_POWER_W, rel=1e-4)
    assert power.low < YARDSTICK_POWER_W < power.high


def test_calibration_changes_no_time() -> None:
    program = small_cnn_program()
    other = replace(program, target=with_calibration(program.target, 0.1))
    assert summarize(other).flow == summarize(program).flow


@pytest.mark.parametrize(("calibration", "end"), [(0.0, "low"), (1.0, "high")])
def test_ends_of_the_brackets(calibration: float, end: str) -> None:
    program = small_cnn_program()
    result = summarize(program)
    target = with_calibration(program.target, calibration)
    found = energy_of(result.counts, result.flow.interval_s, target)
    assert found.value == pytest.approx(getattr(found, end))


def test_impossible_power_is_refused() -> None:
    with pytest.raises(DataError, match=r"power must lie in the brackets' .* not 1000 W"):
        calibrate(small_cnn_program(), 1000)
