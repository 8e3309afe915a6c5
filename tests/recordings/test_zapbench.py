"""Splits and windows against ZAPBench's own numbers."""

from __future__ import annotations

import pytest

from zapdeploy.errors import DataError
from zapdeploy.recordings.conditions import Split, window_starts
from zapdeploy.recordings.zapbench import CONDITIONS, FRAMES


def test_conditions_follow_one_another() -> None:
    stops = [0, 649, 2422, 3078, 3735, 5047, 5638, 6623, 7279, 7879]
    assert [condition.start for condition in CONDITIONS] == stops[:-1]
    assert [condition.stop for condition in CONDITIONS] == stops[1:]
    assert FRAMES == 7879
    assert [c.name for c in CONDITIONS if c.held_out] == ["taxis"]


@pytest.mark.parametrize("context", [4, 256])
def test_test_windows_are_the_benchmarks(context: int) -> None:
    """The same at both contexts: a longer context begins earlier."""
    counts = [len(condition.window_starts(Split.TEST, context, 32)) for condition in CONDITIONS]
    assert counts == [98, 323, 99, 368, 231, 86, 165, 99, 88]
    assert window_starts(Split.TEST, context, 32, CONDITIONS).size == sum(counts) == 1557


@pytest.mark.parametrize(("context", "windows"), [(4, 4772), (256, 2756)])
def test_training_windows_are_the_benchmarks(context: int, windows: int) -> None:
    assert window_starts(Split.TRAIN, context, 32, CONDITIONS).size == windows


def test_test_ranges_at_a_context_of_four() -> None:
    found = [condition.split_frames(Split.TEST, 4) for condition in CONDITIONS]
    assert [(frames.start, frames.stop) for frames in found] == [
        (515, 648), (2063, 2421), (2943, 3077), (3331, 3734), (4780, 5046), (5516, 5637),
        (6422, 6622), (7144, 7278), (7755, 7878),
    ]  # fmt: skip


def test_splits_meet_in_their_targets() -> None:
    """The first target of validation is the frame after training's last, and so on."""
    gain = CONDITIONS[0]
    train, validation, test = (gain.split_frames(split, 4) for split in Split)
    assert train.stop == validation.start + 4
    assert validation.stop == test.start + 4
    assert (train.start, test.stop) == (1, 648)


@pytest.mark.parametrize("split", [Split.TRAIN, Split.VALIDATION])
def test_the_held_out_condition_is_never_trained_on(split: Split) -> None:
    taxis = CONDITIONS[3]
    assert len(taxis.window_starts(split, 4, 32)) == 0
    starts = window_starts(split, 4, 32, CONDITIONS)
    assert not ((starts >= taxis.start - 35) & (starts < taxis.stop)).any()


@pytest.mark.parametrize("context", [0, 257])
def test_contexts_out_of_range_are_refused(context: int) -> None:
    with pytest.raises(DataError) as caught:
        CONDITIONS[0].window_starts(Split.TEST, context, 32)
    assert str(caught.value) == (
        f"context must be 1 to 256 frames, not {context}: that is how ZAPBench's splits are made; "
        "take a shorter one"
    )
