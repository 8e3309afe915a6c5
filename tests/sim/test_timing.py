"""The schedule of a batch, and the times that follow from it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks import (
    changed_target,
    compiled,
    mlp,
    northpole,
    resnet50_program,
    small_cnn_program,
)
from zapdeploy.compile.program.program import Program
from zapdeploy.sim.timing import Span, Timeline, time_program


@pytest.fixture(params=["resnet50", "northpole-sim", "tile64-sim", "groq-tsp-sim"], scope="module")
def program(request: pytest.FixtureRequest) -> Program:
    return resnet50_program() if request.param == "resnet50" else small_cnn_program(request.param)


def test_layers_follow_one_another(program: Program) -> None:
    """The first starts at 0, each next one where the last ended; none is left out."""
    timeline = time_program(program)
    assert [span.layer for span in timeline.spans] == [layer.name for layer in program.layers]
    now = 0
    for span, layer in zip(timeline.spans, program.layers, strict=True):
        assert (span.start, span.end) == (now, now + layer.cycles)
        now = span.end
    assert timeline.cycles == now + program.output_cycles


def test_no_unit_is_busy_for_longer_than_its_layer(program: Program) -> None:
    for span in time_program(program).spans:
        assert all(0 <= busy <= span.end - span.start for busy in span.unit_cycles.values())


def test_the_batch_takes_no_less_than_the_bound(program: Program) -> None:
    assert time_program(program).cycles >= sum(layer.bound_cycles for layer in program.layers)


def test_resnet50_by_hand() -> None:
    """32 images of 150,528 bytes and 32 x 1000 results over 12 GB/s, 10 us before each of the two
    transfers, 5 us to launch."""
    timeline = time_program(resnet50_program())
    assert timeline.host_in_s == pytest.approx(32 * 150_528 / 12e9)
    assert timeline.host_out_s == pytest.approx(32_000 / 12e9)
    assert timeline.clock_hz == 400e6
    assert timeline.array_s == timeline.cycles / 400e6
    assert timeline.latency_s == pytest.approx(
        timeline.array_s + 32 * 150_528 / 12e9 + 32_000 / 12e9 + 2 * 10e-6 + 5e-6
    )


def test_resnet50_stays_between_half_of_its_bound_and_all_of_it() -> None:
    """The bound is 47,912 frames/s (see test_bound); published for the chip are 42,460.

    No constant is fitted to the latter. A rough mapper would not reach half of the bound.
    """
    throughput = time_program(resnet50_program()).throughput_fps
    assert 0.85 * 47_912 < throughput < 47_912


def timeline(array_cycles: int, host_in_s: float, host_out_s: float, batch: int = 1) -> Timeline:
    span = Span("layer", 0, array_cycles - 10, {})
    return Timeline((span,), 10, 1e6, host_in_s, host_out_s, batch, double_buffered=True)


def test_the_array_is_the_limit() -> None:
    """2000 cycles at 1 MHz take 2 ms; the host needs less in either direction."""
    found = timeline(2000, 1e-3, 0.5e-3, batch=4)
    assert found.cycles == 2000
    assert found.interval_s == 2e-3
    assert found.throughput_fps == 4 / 2e-3
    assert found.latency_s == pytest.approx(3.5e-3)


@pytest.mark.parametrize(("host_in_s", "host_out_s"), [(5e-3, 1e-3), (1e-3, 5e-3)])
def test_the_host_link_is_the_limit(host_in_s: float, host_out_s: float) -> None:
    """Both directions work at once; the slower one sets the pace."""
    found = timeline(2000, host_in_s, host_out_s)
    assert found.interval_s == 5e-3
    assert found.throughput_fps == 200
    assert found.latency_s == pytest.approx(8e-3)


@settings(deadline=None, max_examples=50)
@given(st.integers(11, 10**6), st.floats(0, 1), st.floats(0, 1), st.integers(1, 64))
def test_no_more_than_a_batch_per_latency_in_flight_is_assumed(
    cycles: int, host_in_s: float, host_out_s: float, batch: int
) -> None:
    """Three stages at most overlap: throughput x latency lies between one batch and three."""
    found = timeline(cycles, host_in_s, host_out_s, batch)
    in_flight = found.throughput_fps * found.latency_s / batch
    assert 1 - 1e-9 <= in_flight <= 3 + 1e-9


def test_nothing_runs_in_an_empty_timeline() -> None:
    assert Timeline((), 7, 1e6, 0.0, 0.0, 1, double_buffered=True).cycles == 7


def test_a_slower_host_link_is_never_faster() -> None:
    program = resnet50_program()
    slow = replace(program, target=changed_target({"host.bandwidth": "1 GB/s"}))
    assert time_program(slow).throughput_fps < time_program(program).throughput_fps
    assert time_program(slow).latency_s > time_program(program).latency_s
    assert time_program(slow).array_s == time_program(program).array_s


def test_narrow_tensors_cross_the_host_link_at_their_width() -> None:
    """64 values of 4 bits are 32 bytes."""
    found = time_program(compiled(mlp(1, bits=4)))
    assert found.host_in_s == pytest.approx(32 / 12e9)
    assert found.host_out_s == pytest.approx(16 / 12e9)


def test_the_same_program_gives_the_same_timeline() -> None:
    assert time_program(small_cnn_program()) == time_program(small_cnn_program())
    assert northpole().clock_hz == time_program(small_cnn_program()).clock_hz


def test_one_set_in_the_framebuffer_takes_turns() -> None:
    """8 x (64 + 32) bytes: twice that fits in 1536 B, and not in 1535 B; the host then waits."""
    times = {}
    for memory in ("1536 B", "1535 B"):
        target = changed_target({"framebuffer.memory": memory})
        times[memory] = time_program(compiled(mlp(8), target, batch=8))
    both, one = times["1536 B"], times["1535 B"]
    assert both.double_buffered
    assert both.interval_s == max(both.array_s, both.host_in_s, both.host_out_s)
    assert not one.double_buffered
    assert one.interval_s == one.latency_s == both.latency_s


def test_the_limiter_of_a_stream() -> None:
    """The unit that is slowest for most of the time, unless the host link is slower still."""
    spans = (
        Span("a", 0, 100, {"matrix": 90, "vector": 10}),
        Span("b", 100, 160, {"matrix": 10, "vector": 50}),
        Span("c", 160, 210, {"matrix": 10, "vector": 40}),
    )
    array = Timeline(spans, 0, 1e6, 0.0, 0.0, 1, double_buffered=True)
    assert array.limiter == "vector"  # 60 + 50 cycles against 100
    assert replace(array, host_in_s=2.0e-4).limiter == "vector"
    assert replace(array, host_in_s=2.2e-4).limiter == "host link"
    assert replace(array, host_out_s=2.2e-4).limiter == "host link"
    both = replace(array, host_in_s=1.2e-4, host_out_s=1.2e-4)
    assert both.limiter == "vector"
    assert replace(both, double_buffered=False).limiter == "host link"  # in turns: 240 us
