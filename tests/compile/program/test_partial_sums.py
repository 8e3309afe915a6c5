"""Chains of cores that add up: each passes its sums to the next, in order."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from tests.compile.program.programs import lowered_programs
from zapdeploy.compile.program.layer import Lowered


@settings(max_examples=30, deadline=None)
@given(lowered=lowered_programs())
def test_every_core_but_the_last_of_a_chain_passes_on(lowered: Lowered) -> None:
    for events in lowered.layers:
        messages, output = events.partial_sums, events.cuts.output
        works = output.volume[0] > 0
        last = events.held.volume > 0
        np.testing.assert_array_equal(np.flatnonzero(works & ~last), messages.senders)
        receivers = messages.receivers.argmax(axis=1)
        assert (messages.receivers.sum(axis=1) == 1).all()
        # A core has its predecessors' sums before it sends: messages go in the order of the cores.
        np.testing.assert_array_equal(receivers, messages.senders + 1)
        assert (np.diff(messages.senders) > 0).all()
        for bound, own in zip(messages.boxes, output, strict=True):
            np.testing.assert_array_equal(bound, own[0, messages.senders])
            np.testing.assert_array_equal(bound, own[0, receivers])
        assert messages.bits == 32
