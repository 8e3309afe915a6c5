"""Addresses: nothing that lives at the same time overlaps, and nothing is left out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks import (
    NetworkBuilder,
    changed_target,
    compiled,
    mlp,
    northpole,
    resnet50,
    resnet50_program,
    small_cnn,
)
from zapdeploy.compile.mapping.memory import (
    ALIGNMENT,
    Buffer,
    Demand,
    MemoryPlan,
    framebuffer_demand,
    is_double_buffered,
    live_bytes,
    plan_memory,
)

PROGRAMS = 2 * 1024  # of this layer and of the next one


@st.composite
def demands(draw: st.DrawFn) -> list[Demand]:
    count = draw(st.integers(1, 12))
    return [
        Demand(
            name=f"layer{index}",
            parameters=draw(st.integers(0, 5000)),
            output=draw(st.integers(1, 5000)),
            received=tuple(draw(st.lists(st.integers(0, 3000), max_size=2))),
            last_reader=draw(st.integers(index, count - 1)),
        )
        for index in range(count)
    ]


def together(a: Buffer, b: Buffer) -> bool:
    return a.first <= b.last and b.first <= a.last


@settings(deadline=None, max_examples=100)
@given(demands())
def test_what_lives_together_lies_apart(wanted: list[Demand]) -> None:
    plan = plan_memory(wanted, northpole())
    for a, b in combinations(plan.buffers, 2):
        if together(a, b):
            assert a.end <= b.address or b.end <= a.address, (a, b)


@settings(deadline=None, max_examples=100)
@given(demands())
def test_every_demand_has_its_place(wanted: list[Demand]) -> None:
    """Parameters and programs for the whole run, outputs until they are read, the rest at once."""
    plan = plan_memory(wanted, northpole())
    end = len(wanted) - 1
    placed = [(b.name, b.kind, b.size, b.first, b.last) for b in plan.buffers]
    expected = [("programs", "program", PROGRAMS, 0, end)]
    for i, d in enumerate(wanted):
        expected.append((d.name, "output", d.output, i, d.last_reader))
        expected += [(d.name, "received", r, i, i) for r in d.received if r]
        if d.parameters:
            expected.append((d.name, "parameters", d.parameters, 0, end))
    assert sorted(placed) == sorted(expected)


@settings(deadline=None, max_examples=100)
@given(demands())
def test_the_peak_holds_all_that_lives_at_once(wanted: list[Demand]) -> None:
    """And no more than if nothing shared its place."""
    plan = plan_memory(wanted, northpole())
    assert plan.peak == max(b.end for b in plan.buffers)
    for layer in range(len(wanted)):
        assert plan.peak >= live_bytes(plan.buffers, layer)
    apart = sum(-(-b.size // ALIGNMENT) * ALIGNMENT for b in plan.buffers)
    assert plan.peak <= apart


@settings(deadline=None, max_examples=100)
@given(demands())
def test_addresses_are_aligned(wanted: list[Demand]) -> None:
    plan = plan_memory(wanted, northpole())
    assert all(b.address >= 0 and b.address % ALIGNMENT == 0 for b in plan.buffers)


@settings(deadline=None, max_examples=100)
@given(demands())
def test_the_activations_peak_is_a_sum_of_live_buffers(wanted: list[Demand]) -> None:
    plan = plan_memory(wanted, northpole())
    moving = [b for b in plan.buffers if b.kind in ("output", "received")]
    assert plan.activations_peak == max(live_bytes(moving, i) for i in range(len(wanted)))


def test_a_chain_shares_two_places() -> None:
    """Each output dies with its reader: of ten outputs only two live at any time."""
    chain = [Demand(f"l{i}", 0, 1024, (), min(i + 1, 9)) for i in range(10)]
    assert plan_memory(chain, northpole()).peak == PROGRAMS + 2 * 1024


def test_a_gap_is_filled_before_new_room_is_taken() -> None:
    """The long-lived small output must not sit on top of the short-lived large one for good."""
    wanted = [
        Demand("large", 0, 4096, (), 0),
        Demand("small", 0, 1024, (), 3),
        Demand("next", 0, 3072, (), 2),
        Demand("last", 0, 3072, (), 3),
    ]
    plan = plan_memory(wanted, northpole())
    assert plan.peak <= PROGRAMS + 1024 + 2 * 3072


def test_a_plan_may_exceed_its_limit_and_says_so() -> None:
    plan = plan_memory([Demand("a", 2**20, 64, (), 0)], northpole())
    assert plan.limit == 768 * 1024
    assert plan.peak > plan.limit


def test_bytes_by_kind() -> None:
    wanted = [Demand("a", 100, 64, (32, 16), 1), Demand("b", 50, 8, (), 1)]
    plan = plan_memory(wanted, northpole())
    assert plan.bytes_of("parameters") == 150
    assert plan.bytes_of("output", "received") == 64 + 32 + 16 + 8
    assert plan.bytes_of("program") == PROGRAMS


def test_the_fullest_layer_uses_the_highest_address() -> None:
    wanted = [Demand("a", 0, 64, (), 0), Demand("b", 0, 4096, (), 1), Demand("c", 0, 64, (), 2)]
    assert plan_memory(wanted, northpole()).fullest_layer() == 1


def test_an_empty_plan_is_empty() -> None:
    plan = MemoryPlan((), 10)
    assert (plan.peak, plan.activations_peak, plan.bytes_of("output")) == (0, 0, 0)


def test_the_same_demands_give_the_same_plan() -> None:
    wanted = [Demand(f"l{i}", 7 * i, 100, (50,), min(i + 2, 7)) for i in range(8)]
    assert plan_memory(wanted, northpole()) == plan_memory(wanted, northpole())


def test_programs_take_what_the_target_says() -> None:
    target = changed_target({"programs.bytes_per_layer": "3 KiB"})
    assert plan_memory([Demand("a", 0, 1, (), 0)], target).bytes_of("program") == 2 * 3072


def test_framebuffer_holds_inputs_and_outputs() -> None:
    """ResNet-50, 32 images: 32 x 3 x 224 x 224 + 32 x 1000 bytes."""
    assert framebuffer_demand(resnet50(32, 4), northpole()) == 32 * 150_528 + 32 * 1000


def test_framebuffer_counts_narrow_tensors_at_their_width() -> None:
    """5 values of 4 bits are 3 bytes, 3 of 4 bits are 2."""
    assert framebuffer_demand(mlp(1, (5, 3), bits=4), northpole()) == 3 + 2


@pytest.mark.parametrize(("memory", "double"), [("192 B", True), ("191 B", False)])
def test_two_sets_make_a_double_buffer(memory: str, double: bool) -> None:
    """mlp(1): 64 + 32 bytes, twice."""
    target = changed_target({"framebuffer.memory": memory})
    assert is_double_buffered(mlp(1), target) is double


def _lifetimes(buffers: Sequence[Buffer]) -> dict[str, tuple[int, int]]:
    return {b.name: (b.first, b.last) for b in buffers if b.kind == "output"}


def test_lifetimes_in_resnet50() -> None:
    """The skip connection of the second block lives until its addition, two layers later."""
    program = resnet50_program()
    position = {layer.name: i for i, layer in enumerate(program.layers)}
    lives = _lifetimes(program.memory.buffers)
    assert lives["s0b0d"] == (position["s0b0d"], position["s0b1c3"])
    assert lives["s0b1c1"] == (position["s0b1c1"], position["s0b1c2"])
    assert lives["fc"] == (position["fc"], len(position) - 1)
    assert program.memory.peak <= program.memory.limit == 768 * 1024


def test_outputs_of_the_network_live_to_its_end() -> None:
    net = NetworkBuilder("n")
    x = net.conv(net.input("x", (1, 4, 4, 4)), 4, 1, name="early")
    y = net.conv(net.conv(x, 4, 1, name="middle"), 4, 1, name="late")
    lives = _lifetimes(compiled(net.graph(x, y)).memory.buffers)
    assert lives == {"early": (0, 2), "middle": (1, 2), "late": (2, 2)}


def test_an_output_behind_a_view_lives_to_the_end_too() -> None:
    """The host reads the viewed tensor when all layers are done."""
    net = NetworkBuilder("n")
    x = net.conv(net.input("x", (1, 4, 4, 4)), 4, 1, name="early")
    y = net.conv(net.conv(net.input("z", (1, 4, 4, 4)), 4, 1, name="middle"), 4, 1, name="late")
    lives = _lifetimes(compiled(net.graph(net.flatten(x), y)).memory.buffers)
    assert lives["early"] == (0, 2)


def test_small_networks_fit_with_room_to_spare() -> None:
    program = compiled(small_cnn(1))
    assert program.fits
    assert program.memory.peak < program.memory.limit / 10
