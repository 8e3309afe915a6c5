"""The proof of the memory plan: what it says of plans that are right. Faults: `core_array`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from tests.compile.program.programs import lowered_programs
from tests.networks import compiled, mesh, small_cnn
from zapdeploy.compile.mapping.memory import live_bytes
from zapdeploy.compile.program.layer import Lowered, lower
from zapdeploy.sim import memory_verifier
from zapdeploy.sim.memory_verifier import certify


@settings(max_examples=30, deadline=None)
@given(lowered=lowered_programs())
def test_any_plan_is_proved(lowered: Lowered) -> None:
    """Under any cuts: no core has more in use than the plan gives every core."""
    found = certify(lowered)
    buffers = lowered.program.memory.buffers
    planned = [live_bytes(buffers, index) for index in range(len(lowered.layers))]
    assert (found.live_bytes.max(axis=1) <= planned).all()
    assert (found.live_bytes > 0).all()  # programs are everywhere
    assert found.peak_bytes.max() <= lowered.program.memory.peak


@pytest.mark.parametrize("batch", [1, 2])
def test_one_core_uses_all_that_is_planned(batch: int) -> None:
    """With a single core every buffer is as large as that core needs it."""
    lowered = lower(compiled(small_cnn(batch), mesh(1, 1), batch=batch))
    buffers = lowered.program.memory.buffers
    planned = [live_bytes(buffers, index) for index in range(len(lowered.layers))]
    np.testing.assert_array_equal(certify(lowered).live_bytes[:, 0], planned)


def test_json_names_the_fullest_place() -> None:
    found = certify(lower(compiled(small_cnn(2), mesh(2, 2), batch=2)))
    document = found.as_json()
    layer = found.layers.index(document["layer"])
    assert found.live_bytes[layer, document["core"]] == document["peak_bytes"]
    assert document["cores"] == found.live_bytes.max(axis=0).tolist()
    assert document["layers"] == found.live_bytes.max(axis=1).tolist()


def test_shares_no_code_with_the_planner() -> None:
    """Of the planner's module it knows what a buffer is, nothing else."""
    text = Path(memory_verifier.__file__).read_text(encoding="utf-8")
    imported = [line for line in text.splitlines() if "mapping.memory" in line]
    assert imported == ["from zapdeploy.compile.mapping.memory import Buffer"]
    assert "compile.build" not in text
