"""Micro-batches through a pipeline: times by hand, and what must hold for any pipeline."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapdeploy.compile.multichip.pipeline import Link
from zapdeploy.sim.flow import Flow, flow
from zapdeploy.sim.timing import Span, Timeline


def stage(array_s: int, in_s: float = 0.0, out_s: float = 0.0, *, double: bool = True) -> Timeline:
    """A chip whose clock ticks once a second."""
    return Timeline((Span("layer", 0, array_s, {}),), 0, 1.0, in_s, out_s, 1, double)


def chain(stages: int) -> list[Link]:
    return [Link(f"t{s}", s, (s + 1,), 1) for s in range(stages - 1)]


def test_one_stage_is_its_timeline() -> None:
    alone = stage(3, 1.25, 0.5)
    found = flow([alone], [], 1)
    assert found.latency_s == alone.latency_s
    assert found.interval_s == alone.interval_s


def test_two_stages_by_hand() -> None:
    """In 1, array 2, out 1; in 1, array 3, out 0: the second waits for itself from then on.

    | number | arrives | computed 1 | at the host | computed 2 |
    |    1   |   0-1   |    1-3     |     4       |    5-8     |
    |    2   |   1-2   |    3-5     |     6       |    8-11    |
    |    3   |  3-4 (a set is free when 1 is computed) | 5-7 | 8 | 11-14 |
    """
    found = flow([stage(2, 1.0, 1.0), stage(3, 1.0)], chain(2), 3)
    assert [p.arriving_s for p in found.passages[0]] == [0, 1, 3]
    assert [p.computed_s for p in found.passages[0]] == [3, 5, 7]
    assert [p.left_s for p in found.passages[0]] == [4, 6, 8]
    assert [p.computed_s for p in found.passages[1]] == [8, 11, 14]
    assert found.latency_s == 14
    assert found.interval_s == 3
    assert found.slowest == 1


def test_one_set_of_buffers_takes_turns() -> None:
    found = flow([stage(2, 1.0, 1.0, double=False)], [], 3)
    assert [p.left_s for p in found.passages[0]] == [4, 8, 12]
    assert found.interval_s == 4


def test_a_slow_way_out_holds_the_array_up() -> None:
    """Two sets of outputs: the third is computed when the first has left."""
    found = flow([stage(1, 0.0, 5.0)], [], 4)
    assert [p.started_s for p in found.passages[0]] == [0, 1, 6, 11]
    assert [p.left_s for p in found.passages[0]] == [6, 11, 16, 21]


def test_stages_that_need_nothing_of_each_other_run_at_once() -> None:
    """0 feeds 1 and 2, and both are done at the same time."""
    found = flow([stage(2), stage(3), stage(4)], [Link("t", 0, (1, 2), 1)], 1)
    assert [passages[0].left_s for passages in found.passages] == [2, 5, 6]
    assert found.latency_s == 6


def timelines() -> st.SearchStrategy[Timeline]:
    seconds = st.integers(0, 6)
    return st.builds(
        lambda array, into, out, double: stage(array, float(into), float(out), double=double),
        st.integers(1, 6),
        seconds,
        seconds,
        st.booleans(),
    )


@given(st.lists(timelines(), min_size=1, max_size=5), st.integers(1, 12))
def test_laws_of_any_chain(stages: list[Timeline], micro_batches: int) -> None:
    found = flow(stages, chain(len(stages)), micro_batches)
    _check_resources(found)
    alone = sum(s.latency_s for s in stages)
    assert found.interval_s == max(s.interval_s for s in stages)
    assert found.latency_s >= alone
    assert found.latency_s >= found.interval_s * (micro_batches - 1)
    assert found.latency_s <= alone * micro_batches
    if micro_batches == 1:
        assert found.latency_s == pytest.approx(alone)


@given(st.lists(timelines(), min_size=1, max_size=4))
def test_a_long_stream_settles_at_the_slowest_stage(stages: list[Timeline]) -> None:
    found = flow(stages, chain(len(stages)), 60)
    left = [passage.left_s for passage in found.passages[-1]]
    assert (left[-1] - left[-21]) / 20 == pytest.approx(found.interval_s, rel=0.1)


def _check_resources(found: Flow) -> None:
    """Nothing does two things at once, and nothing starts before what it needs is there."""
    for number, (timeline, passages) in enumerate(zip(found.stages, found.passages, strict=True)):
        for k, p in enumerate(passages):
            assert p.arrived_s - p.arriving_s == pytest.approx(timeline.host_in_s)
            assert p.computed_s - p.started_s == pytest.approx(timeline.array_s)
            assert p.left_s - p.leaving_s == pytest.approx(timeline.host_out_s)
            assert p.arrived_s <= p.started_s
            assert p.computed_s <= p.leaving_s
            if number:
                assert p.arriving_s >= found.passages[number - 1][k].left_s
            if k:
                before = passages[k - 1]
                assert p.arriving_s >= before.arrived_s
                assert p.started_s >= before.computed_s
                assert p.leaving_s >= before.left_s
                assert timeline.double_buffered or p.arriving_s >= before.left_s
            if k > 1:
                assert p.arriving_s >= passages[k - 2].computed_s
                assert p.started_s >= passages[k - 2].left_s
