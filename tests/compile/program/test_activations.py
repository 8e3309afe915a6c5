"""Deliveries: every needed element once, from a core that holds it; as many bytes as priced."""

from __future__ import annotations

from math import ceil

import numpy as np
from hypothesis import given, settings

from tests.compile.program.programs import lowered_programs
from zapdeploy.compile.graph import Array, Shape
from zapdeploy.compile.program.activations import Delivery
from zapdeploy.compile.program.layer import Lowered
from zapdeploy.compile.regions import Region

SOME = settings(max_examples=30, deadline=None)


def painted(region: Region, index: int, shape: Shape) -> Array:
    """1 inside a box of a tensor, 0 outside."""
    found = np.zeros(shape, np.int64)
    box = zip(region.low[index], region.high[index], strict=True)
    found[tuple(slice(int(low), int(high)) for low, high in box)] = 1
    return found


def deliveries(lowered: Lowered) -> list[Delivery]:
    return [delivery for events in lowered.layers for delivery in events.deliveries]


@SOME
@given(lowered=lowered_programs())
def test_every_needed_element_is_held_or_received_once(lowered: Lowered) -> None:
    for delivery in deliveries(lowered):
        shape, messages = delivery.read.source.shape, delivery.messages
        for core in range(len(delivery.needed.low)):
            needed = painted(delivery.needed, core, shape)
            arrived = np.zeros(shape, np.int64)
            for m in np.flatnonzero(messages.receivers[:, core]):
                arrived += painted(messages.boxes, m, shape)
            assert (arrived <= needed).all()  # nothing comes that is not needed
            if delivery.held is not None:
                arrived += painted(delivery.held, core, shape) * needed
            np.testing.assert_array_equal(arrived, needed)


@SOME
@given(lowered=lowered_programs())
def test_senders_hold_what_they_send(lowered: Lowered) -> None:
    """The first core that holds it, to others than itself."""
    for delivery in deliveries(lowered):
        held, messages = delivery.held, delivery.messages
        if held is None:
            continue
        low, high = (bound[:, None] for bound in messages.boxes)
        holds = ((held.low <= low) & (high <= held.high)).all(axis=2) & (held.volume > 0)
        np.testing.assert_array_equal(messages.senders, holds.argmax(axis=1))
        assert holds.any(axis=1).all()
        assert not messages.receivers[np.arange(len(messages)), messages.senders].any()
        assert messages.receivers.any(axis=1).all()


@SOME
@given(lowered=lowered_programs())
def test_framebuffer_sends_each_box_once_into_a_row(lowered: Lowered) -> None:
    columns = int(lowered.program.target.array.columns)
    for delivery in deliveries(lowered):
        if delivery.held is not None:
            continue
        messages, needed = delivery.messages, delivery.needed
        rows = -1 - messages.senders
        for m, row in enumerate(rows):
            same_row = np.arange(len(needed.low)) // columns == row
            low, high = messages.boxes.low[m], messages.boxes.high[m]
            same_box = (needed.low == low).all(axis=1) & (needed.high == high).all(axis=1)
            wanted = same_row & same_box & (needed.volume > 0)
            np.testing.assert_array_equal(messages.receivers[m], wanted)
        boxes = np.column_stack([rows, *messages.boxes])
        assert len(np.unique(boxes, axis=0)) == len(boxes)


@SOME
@given(lowered=lowered_programs())
def test_bytes_are_those_that_were_priced(lowered: Lowered) -> None:
    for events in lowered.layers:
        for delivery, fetch in zip(events.deliveries, events.program.fetches, strict=True):
            messages, size = delivery.messages, delivery.messages.bits / 8
            received = messages.received_elements * size
            assert fetch.source == delivery.source
            assert fetch.received_bytes == ceil(received.max())
            assert fetch.total_received_bytes == ceil(received.sum())
            assert fetch.total_sent_bytes == ceil(messages.elements.sum() * size)
            assert fetch.from_framebuffer == (delivery.held is None)
            if delivery.held is not None:
                sent = np.bincount(messages.senders, messages.elements * size, len(received))
                assert fetch.sent_bytes == ceil(sent.max())


@SOME
@given(lowered=lowered_programs())
def test_outputs_cover_each_tensor_once(lowered: Lowered) -> None:
    for events in lowered.layers:
        shape = events.layer.output.shape
        cores = range(len(events.held.low))
        assert (sum(painted(events.held, core, shape) for core in cores) == 1).all()
