"""Which frames belong to which condition and split, and which windows they hold.

A window is `context` frames that a forecaster is given and the `horizon` frames after it, its
targets. A condition is one or more blocks of frames without a break; no window reaches over the end
of a block. In time order, the last 20 % of a condition's frames are the targets of the test split
and 10 % before them those of validation; between two splits a gap of context plus horizon is left
out, so that no frame of a test or validation window is trained on. Contexts reach into the gap:
the targets of the test split are the same frames whatever the context.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import DataError

VALIDATION_SHARE = 0.1
TEST_SHARE = 0.2
TRAIN_SHARE = 1 - VALIDATION_SHARE - TEST_SHARE
WHOLE = "whole recording"
Block = tuple[int, int]


class Split(Enum):
    """A part of every condition."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True)
class Condition:
    """Blocks of frames [start, stop), in time order, recorded under one condition.

    A `held_out` condition is never trained on: all its windows are test windows. cycle: frames
    after which its stimulus repeats, where it does.
    """

    name: str
    blocks: tuple[Block, ...]
    held_out: bool = False
    cycle: int | None = None

    @property
    def frames(self) -> int:
        """How many frames it has."""
        return sum(stop - start for start, stop in self.blocks)

    def window_starts(self, split: Split, context: int, horizon: int) -> NDArray[np.int64]:
        """First frames of the windows of a split, one for every frame of stride."""
        low, high = self._targets(split, context, horizon)
        found, passed = [np.empty(0, np.int64)], 0
        for start, stop in self.blocks:
            shift = passed - start  # from a frame of the recording to one of the condition
            first = max(start + context, low - shift)
            last = min(stop, high - shift) - horizon
            found.append(np.arange(first - context, last - context + 1, dtype=np.int64))
            passed += stop - start
        return np.concatenate(found)

    def known_frames(self) -> NDArray[np.int64]:
        """The frames that may be learnt from, whatever the context: those before validation; of a
        held-out condition none.
        """
        _, high = self._targets(Split.TRAIN, 0, 0)
        frames = np.concatenate([np.arange(*block, dtype=np.int64) for block in self.blocks])
        return frames[: max(high, 0)]

    def _targets(self, split: Split, context: int, horizon: int) -> tuple[int, int]:
        """Where the targets of a split lie, counted in frames of the condition."""
        count, gap = self.frames, context + horizon
        if self.held_out:
            return (0, count) if split is Split.TEST else (0, 0)
        test, validation = int(TEST_SHARE * count), int(VALIDATION_SHARE * count)
        if split is Split.TEST:
            return count - test, count
        if split is Split.VALIDATION:
            return count - test - gap - validation, count - test - gap
        return 0, count - test - gap - validation - gap


def whole(frames: int, breaks: Sequence[int] = ()) -> tuple[Condition, ...]:
    """One condition of all frames. breaks: frames that do not follow the one before."""
    return (Condition(WHOLE, cut_blocks(((0, frames),), breaks)),)


def cut_blocks(blocks: Sequence[Block], breaks: Sequence[int]) -> tuple[Block, ...]:
    """The blocks, cut where the recording breaks off."""
    found: list[Block] = []
    for start, stop in blocks:
        edges = [start, *(b for b in breaks if start < b < stop), stop]
        found += list(pairwise(edges))
    return tuple(found)


def window_starts(
    split: Split, context: int, horizon: int, conditions: Sequence[Condition]
) -> NDArray[np.int64]:
    """First frames of all windows of a split over all conditions, in the order of these.

    Raises DataError when no condition is long enough for one window.
    """
    check_window(context, horizon)
    starts = np.concatenate([c.window_starts(split, context, horizon) for c in conditions])
    if not starts.size:
        raise _too_short(split, context, horizon, conditions)
    return starts


def check_window(context: int, horizon: int) -> None:
    """Raise DataError unless windows can be of that size."""
    for name, value in (("context", context), ("horizon", horizon)):
        if value < 1:
            raise DataError(
                f"{name} must be at least 1 frame, not {value}; give a number of frames"
            )


def frames_needed(context: int, horizon: int) -> int:
    """Frames of a condition without breaks that has a window in every split."""
    gap = context + horizon
    return max(math.ceil(3 * gap / TRAIN_SHARE), math.ceil(horizon / VALIDATION_SHARE)) + 1


def _too_short(
    split: Split, context: int, horizon: int, conditions: Sequence[Condition]
) -> DataError:
    longest = max(condition.frames for condition in conditions)
    if all(condition.held_out for condition in conditions):
        return DataError(
            f"conditions must not all be held out, for then nothing is left for the {split.value} "
            "split; hold out fewer"
        )
    pieces = max(len(condition.blocks) for condition in conditions)
    broken = "" if pieces == 1 else f" in {pieces} pieces"
    return DataError(
        f"a condition must have at least {frames_needed(context, horizon)} frames without a break "
        f"for a context of {context} and a horizon of {horizon}, not {longest}{broken}; take a "
        "smaller --context or --horizon"
    )
