"""Parameters: slices laid out without gaps, stored once in parts, sent to all who share them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from tests.compile.program.programs import lowered_programs
from tests.cuts import with_cuts
from tests.networks import compiled, mesh, mlp
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.mapping.cost import storage_bits
from zapdeploy.compile.mapping.tiling import Cuts, space_of
from zapdeploy.compile.program.layer import Lowered, lower

SOME = settings(max_examples=30, deadline=None)


@SOME
@given(lowered=lowered_programs())
def test_constants_lie_one_behind_the_other(lowered: Lowered) -> None:
    """Weights, then bias, then one float32 for each output channel that has its own scale."""
    target = lowered.program.target
    for events in lowered.layers:
        parameters = events.parameters
        end = np.zeros(target.cores, np.int64)
        for constant in parameters.constants:
            np.testing.assert_array_equal(constant.first_byte, end)
            bits = constant.needed.volume * storage_bits(constant.value, target)
            end = end + (bits + 7) // 8
        used = parameters.slice_of >= 0
        size = np.where(used, end + parameters.scale_bytes, 0)
        np.testing.assert_array_equal(parameters.slice_bytes, size)


@SOME
@given(lowered=lowered_programs())
def test_parts_cover_each_slice_once(lowered: Lowered) -> None:
    for events in lowered.layers:
        parameters = events.parameters
        for number in set(parameters.slice_of.tolist()) - {-1}:
            cores = np.flatnonzero(parameters.slice_of == number)
            stored = np.zeros(int(parameters.slice_bytes[cores[0]]), np.int64)
            for core in cores:
                stored[parameters.stored_low[core] : parameters.stored_high[core]] += 1
            assert (stored == 1).all()
        idle = parameters.slice_of < 0
        assert (parameters.stored_high[idle] == parameters.stored_low[idle]).all()


@SOME
@given(lowered=lowered_programs())
def test_cores_that_share_a_slice_use_the_same_part(lowered: Lowered) -> None:
    for events in lowered.layers:
        parameters = events.parameters
        for number in set(parameters.slice_of.tolist()) - {-1}:
            cores = np.flatnonzero(parameters.slice_of == number)
            for constant in parameters.constants:
                for bound in constant.needed:
                    assert (bound[cores] == bound[cores[0]]).all()


@SOME
@given(lowered=lowered_programs())
def test_every_core_gets_what_it_does_not_store(lowered: Lowered) -> None:
    for events in lowered.layers:
        parameters, messages = events.parameters, events.parameters.messages
        stored = parameters.stored_high - parameters.stored_low
        lacks = np.where(parameters.slice_of >= 0, parameters.slice_bytes - stored, 0)
        np.testing.assert_array_equal(messages.received_elements, lacks)
        for m, sender in enumerate(messages.senders):
            same = parameters.slice_of == parameters.slice_of[sender]
            same[sender] = False
            np.testing.assert_array_equal(messages.receivers[m], same)


@SOME
@given(lowered=lowered_programs())
def test_buffers_hold_the_largest_part(lowered: Lowered) -> None:
    buffers = {b.name: b for b in lowered.program.memory.buffers if b.kind == "parameters"}
    for events in lowered.layers:
        stored = events.parameters.stored_high - events.parameters.stored_low
        buffer = buffers.get(events.layer.name)
        assert stored.max() == (0 if buffer is None else buffer.size)


def test_by_hand() -> None:
    """A product of 8 x 6 weights on 2 x 2 cores, cut over 2 rows and 2 sets of 3 columns.

    A slice is 8 x 3 bytes of weights, 3 int32 of bias and 3 float32 scales: 48 bytes, shared by two
    cores, 24 each. Cores are numbered rows first, then columns: 0 and 2 share the first columns.
    """
    made = compiled(mlp(2, (8, 6)), mesh(2, 2), batch=2)
    (layer,) = group_layers(made.graph)
    (events,) = lower(with_cuts(made, [Cuts(space_of(layer), np.array([[2, 2, 1]]), 4)])).layers
    parameters = events.parameters
    assert parameters.slice_of.tolist() == [0, 1, 0, 1]
    assert parameters.slice_bytes.tolist() == [48] * 4
    assert [c.first_byte.tolist() for c in parameters.constants] == [[0] * 4, [24] * 4]
    assert parameters.scale_bytes.tolist() == [12] * 4
    assert parameters.stored_low.tolist() == [0, 0, 24, 24]
    assert parameters.stored_high.tolist() == [24, 24, 48, 48]
    assert parameters.messages.senders.tolist() == [0, 1, 2, 3]
    assert parameters.messages.receivers.argmax(axis=1).tolist() == [2, 3, 0, 1]
    assert parameters.messages.boxes.low[:, 0].tolist() == [0, 0, 24, 24]
