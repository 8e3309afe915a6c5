"""Boxes in turn in time: by hand, by a second way to reckon, and against what cannot be beaten."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.space_networks import random_unet
from zapdeploy.compile.program.program import Options, Origin
from zapdeploy.compile.space.turns_program import TurnsProgram, build_turns
from zapdeploy.errors import DoesNotFitError
from zapdeploy.hardware_targets import parse_target, target_text
from zapdeploy.sim.space.turns_results import time_turns
from zapdeploy.sim.space.turns_time import round_time

WHERE, TOML = target_text("northpole-sim")
TARGET = parse_target(TOML, WHERE)


@pytest.mark.parametrize(
    ("into", "run", "out", "cards", "wanted"),
    [
        (1, 10, 1, 1, 1 + 3 * 10 + 1),  # the array is never without a box
        (5, 1, 1, 1, 3 * 5 + 1 + 1),  # the link in never stops
        (1, 1, 5, 1, 1 + 1 + 3 * 5),  # nor does the link out
        (1, 10, 1, 3, 1 + 10 + 1),  # a box each
        (1, 10, 1, 2, 1 + 2 * 10 + 1),  # one card has two
    ],
)
def test_three_boxes_by_hand(into: int, run: int, out: int, cards: int, wanted: int) -> None:
    found = round_time(np.full(3, float(into)), np.full(3, float(out)), run, cards, 0.0)
    assert found.seconds == wanted


@given(
    boxes=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=9),
    run=st.integers(0, 9),
    cards=st.integers(1, 4),
    latency=st.integers(0, 3),
)
def test_against_cards_one_by_one(
    boxes: list[tuple[int, int]], run: int, cards: int, latency: int
) -> None:
    ends = [0.0]
    for card in range(cards):
        link_in, array, link_out = 0.0, [0.0, 0.0], [0.0, 0.0]
        for into, out in boxes[card::cards]:
            link_in = max(link_in, array[-2]) + into
            array.append(max(link_in + latency, array[-1], link_out[-2]) + run)
            link_out.append(max(link_out[-1], array[-1]) + out)
        ends.append(link_out[-1])
    into, out = (np.array(side, float) for side in zip(*boxes, strict=True))
    found = round_time(into, out, run, cards, latency)
    assert found.seconds == max(ends) + latency
    assert found.seconds >= max(found.link_in_s, found.array_s, found.link_out_s)


def _turns(cards: int, target: object = TARGET) -> TurnsProgram:
    made, _ = random_unet(3)
    origin, options = Origin("net.onnx", ""), Options(1, cards, "throughput")
    return build_turns(made, origin, target, TOML, options, cards)  # type: ignore[arg-type]


def test_a_network_in_turn() -> None:
    program = _turns(1)
    result = time_turns(program, passes=3)
    assert program.grid.cards == 1  # it fits whole
    assert result.pass_s == sum(each.seconds for each in result.rounds)
    assert result.throughput_fps == pytest.approx(1 / (3 * result.pass_s))
    host = sum(sum(each.moved_bytes(TARGET)) for each in program.rounds)
    assert result.counts.host_bytes == pytest.approx(host, rel=0.01)
    assert sum(result.waits_s.values()) == pytest.approx(result.pass_s)


def test_smaller_memories_take_more_boxes() -> None:
    small = parse_target(_with_framebuffer(TOML, 512), WHERE)
    assert _turns(1, small).grid.cards > 1
    with pytest.raises(DoesNotFitError, match="no box is small enough for the framebuffer"):
        _turns(1, parse_target(_with_framebuffer(TOML, 1), WHERE))


def _with_framebuffer(text: str, size: int) -> str:
    return re.sub(r"(?s)(\[framebuffer\].*?is = )\"[^\"]*\"", rf'\1"{size} B"', text, count=1)
