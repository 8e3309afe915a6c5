"""Splits of any recording: nothing of a test window is trained on, whatever the sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapdeploy.errors import DataError
from zapdeploy.recordings.condition_tables import read_conditions
from zapdeploy.recordings.conditions import (
    Condition,
    Split,
    frames_needed,
    whole,
    window_starts,
)


def test_ten_frames_in_a_hundred_by_hand() -> None:
    """1,000 frames, context 4, horizon 6: test targets from 800, validation's 690 to 790, training
    before 680.
    """
    (condition,) = whole(1000)
    test, validation, train = (
        condition.window_starts(split, 4, 6)
        for split in (Split.TEST, Split.VALIDATION, Split.TRAIN)
    )
    assert (test[0] + 4, test[-1] + 10) == (800, 1000)
    assert (validation[0] + 4, validation[-1] + 10) == (690, 790)
    assert (train[0], train[-1] + 10) == (0, 680)


@given(st.integers(1, 900), st.integers(1, 40), st.integers(1, 40), st.lists(st.integers(1, 899)))
def test_no_frame_of_a_test_window_is_trained_on(
    frames: int, context: int, horizon: int, breaks: list[int]
) -> None:
    (condition,) = whole(frames, sorted(set(breaks)))
    used = {}
    for split in Split:
        starts = condition.window_starts(split, context, horizon)
        used[split] = {f for s in starts for f in range(s, s + context + horizon)}
        for start in starts:  # within one block
            assert any(a <= start and start + context + horizon <= b for a, b in condition.blocks)
    assert not used[Split.TRAIN] & (used[Split.VALIDATION] | used[Split.TEST])
    assert max(used[Split.TEST], default=0) < frames


@given(st.integers(1, 60), st.integers(1, 60))
def test_as_many_frames_as_are_said_to_be_needed_are_enough(context: int, horizon: int) -> None:
    conditions = whole(frames_needed(context, horizon))
    for split in Split:
        assert window_starts(split, context, horizon, conditions).size


def test_test_targets_are_the_same_whatever_the_context() -> None:
    (condition,) = whole(1000)
    for context in (1, 16, 100):
        starts = condition.window_starts(Split.TEST, context, 8)
        assert (starts[0] + context, starts[-1] + context + 8) == (800, 1000)


def test_a_held_out_condition_is_all_test() -> None:
    held = Condition("apart", ((10, 60),), held_out=True)
    assert held.window_starts(Split.TEST, 4, 6).tolist() == list(range(10, 51))
    assert not held.window_starts(Split.TRAIN, 4, 6).size
    assert not held.known_frames().size


def test_too_few_frames_say_how_many_it_takes() -> None:
    with pytest.raises(DataError) as caught:
        window_starts(Split.TRAIN, 16, 32, whole(100))
    assert caught.value.on_command_line == (
        "a condition must have at least 321 frames without a break for a context of 16 and a "
        "horizon of 32, not 100; take a smaller --context or --horizon"
    )


CSV = (
    "name,start,stop,held_out\nrest,0,100,\ngratings,100,250,no\nrest,250,300,\ndark,300,400,yes\n"
)
TOML = """
[[condition]]
name = "rest"
start = 0
stop = 100
[[condition]]
name = "gratings"
start_s = 10.0
stop_s = 25.0
[[condition]]
name = "rest"
start = 250
stop = 300
[[condition]]
name = "dark"
start = 300
stop = 400
held_out = true
"""


@pytest.mark.parametrize(("name", "text"), [("c.csv", CSV), ("c.toml", TOML)])
def test_tables_of_conditions(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    rest, gratings, dark = read_conditions(tmp_path / name, 400, 10.0)
    assert rest == Condition("rest", ((0, 100), (250, 300)))
    assert gratings == Condition("gratings", ((100, 250),))
    assert dark == Condition("dark", ((300, 400),), held_out=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,start,stop\na,0,500\n", "row 1 of the conditions must lie within frames 0 to 400"),
        ("name,start,stop\na,0,9\nb,5,20\n", "conditions must not overlap, as 'a' and 'b' do at"),
        ("name,start,stop\n,0,9\n", "row 1 of the conditions must have a name, not none"),
        ("name,begin,end\na,0,9\n", "row 1 of the conditions must have start and stop in frames"),
        ("name,start,stop,held_out\na,0,9,maybe\n", "row 1 of the conditions must have held_out"),
        ("name,start,stop\n", "--conditions must have at least one row, not none"),
    ],
)
def test_wrong_tables(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        read_conditions(tmp_path / "c.csv", 400, None)
    assert caught.value.on_command_line.startswith(message)


def test_seconds_need_a_rate(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(TOML)
    with pytest.raises(DataError, match="seconds must go with a frame rate, and none is known"):
        read_conditions(tmp_path / "c.toml", 400, None)


def test_known_frames_end_before_validation() -> None:
    (condition,) = whole(1000)
    assert condition.known_frames().tolist() == list(range(700))
    assert np.array_equal(whole(10)[0].known_frames(), np.arange(7))
