"""The form of prices by value against measured matrices."""

from __future__ import annotations

import numpy as np
import pytest

from zapdeploy.benchmarks.experiments import activity_catalogue as catalogue


def test_what_is_seen_of_an_identity() -> None:
    """16 of 4,096 products; a lane has a single one, after itself. On the way come 16 ones of each
    operand, each among zeros but for the left one's first, which follows its last."""
    found = catalogue.seen(lambda random: (np.eye(16), np.eye(16)))
    assert found.products == pytest.approx(16 / 4096)
    assert found.inside == 0
    bits_of_one = int(np.float32(1).view(np.uint32)).bit_count()
    toggles = 16 * ((2 * 16 - 2) + 2 * 16) * bits_of_one  # in each of 16 lanes
    assert found.way == pytest.approx(toggles / (64 * 4096))


def test_every_judged_pattern_is_within_15_percent(capsys: pytest.CaptureFixture[str]) -> None:
    assert catalogue.main([]) == 0
    assert "worst of the judged" in capsys.readouterr().out
