"""Planted faults: the simulator catches each, and says where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.cuts import recut, with_cuts
from tests.networks import NetworkBuilder, compiled, mesh
from zapdeploy.compile.graph import Array, Graph
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.mapping.memory import Buffer
from zapdeploy.compile.mapping.tiling import Cuts, space_of
from zapdeploy.compile.noc.messages import Messages
from zapdeploy.compile.program.layer import LayerEvents, Lowered, lower
from zapdeploy.compile.regions import Region
from zapdeploy.errors import SimulationError
from zapdeploy.sim.core_array import CoreArray
from zapdeploy.sim.functional import run
from zapdeploy.sim.memory_verifier import certify


def network() -> Graph:
    """Three 3 x 3 convolutions whose weights differ from channel to channel."""
    net = NetworkBuilder("convolutions")
    x = net.input("image", (1, 4, 8, 8))
    for index in range(3):
        x = net.conv(x, 4, 3, name=f"conv{index}", bits=8, weight_bits=8)
    graph = net.graph(x)
    random = np.random.default_rng(0)
    values = {
        name: replace(v, data=random.integers(-9, 9, v.shape).astype(v.element.numpy))
        if v.is_constant
        else v
        for name, v in graph.values.items()
    }
    return replace(graph, values=values)


CUTS = ((1, 1, 2, 2, 1), (1, 1, 2, 2, 1), (1, 4, 1, 1, 1))  # halos, then a gather of everything


def cut_by(*factors: tuple[int, ...]) -> Lowered:
    """The network on 2 x 2 cores, each layer cut as told."""
    program = compiled(network(), mesh(2, 2))
    layers = zip(group_layers(program.graph), factors, strict=True)
    cuts = [Cuts(space_of(layer), np.array([factor]), 4) for layer, factor in layers]
    return lower(with_cuts(program, cuts))


@pytest.fixture(scope="module")
def lowered() -> Lowered:
    return cut_by(*CUTS)


def image() -> dict[str, Array]:
    codes = np.random.default_rng(1).integers(0, 256, (1, 4, 8, 8)).astype(np.uint8)
    return {"image": codes}


def changed(lowered: Lowered, index: int, **changes: Any) -> Lowered:
    """The same events with others in one layer."""
    layers = list(lowered.layers)
    layers[index] = replace(layers[index], **changes)
    return replace(lowered, layers=tuple(layers))


def with_messages(
    lowered: Lowered, index: int, change: Callable[[Messages], Messages], read: int = 0
) -> Lowered:
    """One delivery with other messages."""
    deliveries = list(lowered.layers[index].deliveries)
    delivery = deliveries[read]
    deliveries[read] = replace(delivery, messages=change(delivery.messages))
    return changed(lowered, index, deliveries=tuple(deliveries))


def with_buffer(lowered: Lowered, kind: str, name: str, **changes: Any) -> Lowered:
    """A memory plan with one buffer elsewhere."""

    def moved(buffer: Buffer) -> Buffer:
        wanted = (buffer.kind, buffer.name) == (kind, name)
        return replace(buffer, **changes) if wanted else buffer

    program = lowered.program
    memory = replace(program.memory, buffers=tuple(map(moved, program.memory.buffers)))
    return replace(lowered, program=replace(program, memory=memory))


def buffer_of(lowered: Lowered, kind: str, name: str) -> Buffer:
    found = (b for b in lowered.program.memory.buffers if (b.kind, b.name) == (kind, name))
    return next(found)


def message_of(run_it: Callable[[], object]) -> str:
    with pytest.raises(SimulationError) as caught:
        run_it()
    return str(caught.value)


def simulated(lowered: Lowered) -> str:
    return message_of(lambda: CoreArray(lowered).run(image()))


def certified(lowered: Lowered) -> str:
    return message_of(lambda: certify(lowered))


def test_without_fault(lowered: Lowered) -> None:
    certify(lowered)
    found, expected = CoreArray(lowered).run(image()), run(network(), image())
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_swapped_transfer(lowered: Lowered) -> None:
    """Two halo messages with each other's senders: neither holds what it is to send."""

    def swap(messages: Messages) -> Messages:
        senders = messages.senders.copy()
        other = int(np.flatnonzero(senders != senders[0])[0])
        senders[[0, other]] = senders[[other, 0]]
        return replace(messages, senders=senders)

    fault = with_messages(lowered, 1, swap)
    assert "must hold [0:1, 0:4, 0:3, 3:4] to send it, not [0:1, 0:4, " in simulated(fault)
    assert "(layer 'conv1', read 0, of 'conv0_out')" in simulated(fault)
    assert "must hold all of 'conv0_out' that it sends, not a part (layer 'conv1')" in certified(
        fault
    )


def test_swapped_transfer_of_the_framebuffer(lowered: Lowered) -> None:
    """Two boxes of the input on each other's way: receivers get what they do not need."""

    def swap(messages: Messages) -> Messages:
        return replace(messages, receivers=messages.receivers[::-1].copy())

    fault = with_messages(lowered, 0, swap)
    assert "must hold or receive all of" in simulated(fault)
    assert "elements of 'image', each once, not " in certified(fault)


def test_dropped_halo_row(lowered: Lowered) -> None:
    """Core 0 lacks row 4 of the tensor, which core 2 should have sent."""

    def drop(messages: Messages) -> Messages:
        rows = messages.boxes.low[:, 2] == 4
        return messages.pick(~(rows & messages.receivers[:, 0]))

    fault = with_messages(lowered, 1, drop)
    assert simulated(fault) == (
        "core 0 must hold or receive all of [0:1, 0:4, 0:5, 0:5], not lack 20 elements, the first "
        "at [0, 0, 4, 0] (layer 'conv1', read 0, of 'conv0_out'); compile the model again"
    )
    assert certified(fault) == (
        "core 0 must hold or receive 100 elements of 'conv0_out', each once, not 80 "
        "(layer 'conv1'); compile the model again"
    )


def test_transfer_too_late(lowered: Lowered) -> None:
    """A message of one layer comes with the next layer's: missing there, too much here."""
    late = lowered.layers[1].deliveries[0].messages.pick(np.arange(12) == 0)
    first = with_messages(lowered, 1, lambda m: m.pick(np.arange(len(m)) > 0))

    def append(messages: Messages) -> Messages:
        boxes = (np.concatenate(pair) for pair in zip(messages.boxes, late.boxes, strict=True))
        senders = np.concatenate([messages.senders, late.senders])
        receivers = np.concatenate([messages.receivers, late.receivers])
        return replace(messages, boxes=Region(*boxes), senders=senders, receivers=receivers)

    assert "(layer 'conv1', read 0, of 'conv0_out')" in simulated(with_messages(first, 2, append))


def test_slice_sent_to_the_wrong_cores(lowered: Lowered) -> None:
    """A part of the weights arrives at its own sender again, and not at a core that needs it."""
    parameters = lowered.layers[1].parameters
    receivers = parameters.messages.receivers.copy()
    receivers[0] = np.roll(receivers[0], 1)
    messages = replace(parameters.messages, receivers=receivers)
    fault = changed(lowered, 1, parameters=replace(parameters, messages=messages))
    assert "bytes of parameters once, not never (layer 'conv1')" in simulated(fault)


def test_a_slice_sent_twice(lowered: Lowered) -> None:
    """Cores that have slices of their own get another's on top."""
    parameters = lowered.layers[2].parameters
    assert len(parameters.messages) == 0
    boxes = Region(parameters.stored_low[:1, None], parameters.stored_high[:1, None])
    receivers = np.array([[False, True, False, False]])
    messages = Messages(boxes, np.array([0]), receivers, 8)
    fault = changed(lowered, 2, parameters=replace(parameters, messages=messages))
    assert simulated(fault) == (
        "core 1 must receive byte 0 of its 44 bytes of parameters once, not twice "
        "(layer 'conv2'); compile the model again"
    )


def test_slices_exchanged() -> None:
    """Two pairs of cores share a slice each. Halves go to the other pair: no byte is missing, the
    cores compute with what arrived, and the values are wrong."""
    lowered = cut_by((1, 2, 2, 1, 1), (1, 2, 2, 1, 1), (1, 1, 2, 2, 1))
    parameters = lowered.layers[1].parameters
    messages = parameters.messages
    pairs = [np.flatnonzero(parameters.slice_of == s) for s in np.unique(parameters.slice_of)]
    assert [len(pair) for pair in pairs] == [2, 2]
    first = [int(np.flatnonzero(messages.senders == pair[0])[0]) for pair in pairs]
    receivers = messages.receivers.copy()
    receivers[first] = receivers[first[::-1]]
    messages = replace(messages, receivers=receivers)
    fault = changed(lowered, 1, parameters=replace(parameters, messages=messages))
    found, expected = CoreArray(fault).run(image()), run(network(), image())
    assert any((found[name] != array).any() for name, array in expected.items())


def test_buffer_freed_too_early(lowered: Lowered) -> None:
    """The first layer's output is thought dead, and the second one's is put over it."""
    freed = buffer_of(lowered, "output", "conv0")
    fault = with_buffer(lowered, "output", "conv0", last=freed.first)
    fault = with_buffer(fault, "output", "conv1", address=freed.address)
    assert simulated(fault) == (
        f"core 0, address {freed.address} must stay the output of 'conv0' until layer 1, not "
        "become the output of 'conv1' (layer 'conv1'); compile the model again"
    )
    assert certified(fault) == (
        "the output of 'conv0' must stay from layer 0 to layer 1 ('conv1'), not from 0 to 0 "
        f"(layer 'conv0', core 0, address {freed.address}); compile the model again"
    )


def test_two_buffers_in_one_place(lowered: Lowered) -> None:
    place = buffer_of(lowered, "output", "conv1").address
    fault = with_buffer(lowered, "received", "conv2", address=place)
    assert (
        f"core 0, address {place} must stay the output of 'conv1' until layer 2, not become the "
        "received of 'conv2' (read 0) (layer 'conv2')"
    ) in simulated(fault)
    assert "must have its place for itself, not share core 0, address" in certified(fault)


def test_parameters_written_over(lowered: Lowered) -> None:
    place = buffer_of(lowered, "parameters", "conv2").address
    fault = with_buffer(lowered, "output", "conv0", address=place)
    assert (
        "must stay the parameters of 'conv2' until the end, not become the output of 'conv0'"
    ) in simulated(fault)


def test_beyond_the_memory(lowered: Lowered) -> None:
    limit = int(lowered.program.target.core.memory)
    fault = with_buffer(lowered, "output", "conv1", address=limit - 8)
    assert simulated(fault) == (
        f"the output of 'conv1' must end at most at address {limit}, the end of the memory, not "
        f"{limit + 56} (layer 'conv1', core 0); compile the model again"
    )
    assert certified(fault) == (
        f"the output of 'conv1' must end at most at address {limit}, not {limit + 56} "
        f"(layer 'conv1', core 0, address {limit - 8}); compile the model again"
    )


def test_larger_than_its_buffer(lowered: Lowered) -> None:
    fault = with_buffer(lowered, "output", "conv1", size=63)
    address = buffer_of(lowered, "output", "conv1").address
    assert simulated(fault) == (
        "the output of 'conv1' must be at most 63 bytes, not 64 "
        f"(layer 'conv1', core 0, address {address}); compile the model again"
    )
    assert "the output of 'conv1' must have at most 63 bytes, not 64" in certified(fault)


def test_no_buffer(lowered: Lowered) -> None:
    buffers = [b for b in lowered.program.memory.buffers if b.kind != "received"]
    memory = replace(lowered.program.memory, buffers=tuple(buffers))
    fault = replace(lowered, program=replace(lowered.program, memory=memory))
    assert simulated(fault).startswith(
        "the memory plan must have a buffer for the received of 'conv0', not none (layer 'conv0', "
    )
    assert certified(fault).startswith(
        "the memory plan must have a place for the received of 'conv0' (read 0), not none"
    )


def test_sums_that_nobody_passes_on() -> None:
    """A chain of partial sums with a link missing."""
    program = recut(compiled(network(), mesh(2, 2)), lambda f: int(np.argmax(f[:, -1])))
    lowered = lower(program)
    events: LayerEvents = lowered.layers[0]
    assert len(events.partial_sums) == 3
    fault = changed(lowered, 0, partial_sums=events.partial_sums.pick(np.arange(3) != 1))
    assert simulated(fault) == (
        "core 1 must pass its partial sums on 1 times, not 0 (layer 'conv0'); "
        "compile the model again"
    )
