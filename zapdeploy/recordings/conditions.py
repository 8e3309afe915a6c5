"""Which frames belong to which condition and split, and which windows they hold.

Rules of ZAPBench (arXiv 2503.02618): one frame of padding at both ends of a condition; per
condition, in time order, 70 % training, 10 % validation, 20 % test; validation and test begin
`context` frames early, so that their first target is the split's first frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import DataError

HORIZON = 32
LONGEST_CONTEXT = 256
PADDING = 1
VALIDATION_SHARE = 0.1
TEST_SHARE = 0.2


class Split(Enum):
    """A part of every condition."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True)
class Condition:
    """Frames [start, stop) shown one kind of stimulus, repeated every `cycle` frames if it is.

    `flag` is the column of the stimulus features that is 1 while the condition lasts; a `held_out`
    condition is never trained on.
    """

    name: str
    start: int
    stop: int
    flag: int
    cycle: int | None = None
    held_out: bool = False

    def frames(self, split: Split, context: int) -> range:
        """The frames of a split, with the context before its first target."""
        start, stop = self.start + PADDING, self.stop - PADDING
        test, validation = self._lengths
        if self.held_out:
            if split is not Split.TEST:
                return range(start, start)
            return range(start + LONGEST_CONTEXT - context, stop)
        if split is Split.TRAIN:
            return range(start, stop - test - validation)
        if split is Split.VALIDATION:
            return range(stop - test - validation - context, stop - test)
        return range(stop - test - context, stop)

    def window_starts(self, split: Split, context: int) -> range:
        """First frames of the windows of `context` + 32 frames, one for every frame of stride."""
        frames = self.frames(split, context)
        return range(frames.start, max(frames.start, frames.stop - HORIZON - context + 1))

    @property
    def _lengths(self) -> tuple[int, int]:
        """Frames of the test and of the validation split."""
        length = self.stop - self.start - 2 * PADDING
        return int(TEST_SHARE * length), int(VALIDATION_SHARE * length)


CONDITIONS = (
    Condition("gain", 0, 649, flag=1, cycle=66),
    Condition("dots", 649, 2422, flag=3, cycle=591),
    Condition("flash", 2422, 3078, flag=5, cycle=66),
    Condition("taxis", 3078, 3735, flag=8, cycle=131, held_out=True),
    Condition("turning", 3735, 5047, flag=12, cycle=262),
    Condition("position", 5047, 5638, flag=17, cycle=197),
    Condition("open loop", 5638, 6623, flag=18),
    Condition("rotation", 6623, 7279, flag=20, cycle=66),
    Condition("dark", 7279, 7879, flag=21),
)
FRAMES = CONDITIONS[-1].stop
ZAPBENCH_NEURONS = 71_721


def window_starts(
    split: Split, context: int, conditions: tuple[Condition, ...] = CONDITIONS
) -> NDArray[np.int64]:
    """First frames of all windows of a split over all conditions, in time order.

    Raises DataError when no condition is long enough for one window.
    """
    check_context(context)
    ranges = [condition.window_starts(split, context) for condition in conditions]
    starts = np.concatenate([np.arange(r.start, r.stop, dtype=np.int64) for r in ranges])
    if not starts.size:
        longest = max(len(condition.frames(split, context)) for condition in conditions)
        raise DataError(
            f"the {split.value} split must have at least {context + HORIZON} frames in a "
            f"condition, not {longest}; take a shorter context or a longer recording"
        )
    return starts


def check_context(context: int) -> None:
    """Raise DataError unless windows of that context can be cut from the test split."""
    if not 1 <= context <= LONGEST_CONTEXT:
        raise DataError(
            f"context must be 1 to {LONGEST_CONTEXT} frames, not {context}; "
            "ZAPBench has forecasters for 4 and for 256"
        )
