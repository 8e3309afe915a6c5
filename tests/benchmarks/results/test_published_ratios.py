"""Published ratios, worked out again from published rows."""

from __future__ import annotations

import pytest

from tests.benchmarks.examples import row
from zapdeploy.benchmarks import Scenario, published_ratios
from zapdeploy.quantities import Estimate, Provenance


def test_northpole_against_h100_is_what_its_paper_claims() -> None:
    """(42460 / 74 W) / (81292.2 / 700 W) = 573.8 / 116.1 = 4.94, claimed 5."""
    ratio = published_ratios()[0]
    assert ratio.other == "NVIDIA H100-SXM (v2.1)"
    assert ratio.value == pytest.approx(4.94, abs=0.005)
    assert (ratio.claimed, ratio.agrees, ratio.kind) == (5.0, True, "published")


def test_a_claim_about_an_unnamed_gpu_is_not_judged() -> None:
    """573.8 / (6121.3 / 70 W) = 6.56 against the T4, which may not be the GPU of the claim."""
    ratio = published_ratios()[1]
    assert ratio.value == pytest.approx(6.56, abs=0.005)
    assert (ratio.claimed, ratio.agrees) == (25.0, None)
    assert "does not name" in ratio.note


def test_simulated_rows_are_set_beside_without_a_claim() -> None:
    """2 mJ a frame is 500 frames/J, over 116.1: 4.305."""
    simulated = row(
        "chip",
        model="resnet50",
        scenario=Scenario.OFFLINE,
        kind=Provenance.SIMULATED,
        energy_per_frame=Estimate(0.002, 0.001, 0.004, Provenance.MODELLED),
    )
    ratio = published_ratios([simulated, row(model="resnet50")])[1]
    assert ratio.device == "chip int8"
    assert ratio.value == pytest.approx(4.305, abs=0.001)
    assert (ratio.kind, ratio.claimed, ratio.agrees) == ("modelled", None, None)
    assert ratio.as_json()["note"] == "boundary: chip against card"
