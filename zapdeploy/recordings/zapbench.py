"""ZAPBench's own description (arXiv 2503.02618): its arrays, conditions, splits and sizes.

Rules of the benchmark: one frame of padding at both ends of a condition; per condition, in time
order, 70 % training, 10 % validation, 20 % test; validation and test begin `context` frames early,
so that their first target is the split's first frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import DataError
from zapdeploy.recordings.conditions import (
    TEST_SHARE,
    VALIDATION_SHARE,
    Condition,
    Split,
)

HORIZON = 32
CONTEXTS = (4, 256)
LONGEST_CONTEXT = CONTEXTS[-1]
PADDING = 1
ZAPBENCH_NEURONS = 71_721
FRAME_PERIOD_S = 0.9141
DFF_RANGE = (-0.25, 1.5)
STIMULI = 26  # columns of the stimulus features
POSITIONS = 192  # columns of the position embedding
ZAPBENCH_URL = "gs://zapbench-release/volumes/20240930"
TRACES = "traces"
STIMULI_FEATURES = "stimuli_features"
POSITION_EMBEDDING = "position_embedding"
STIMULUS_RESPONSE = "stimulus_evoked_response"


@dataclass(frozen=True)
class ZapbenchCondition(Condition):
    """Frames [start, stop) shown one kind of stimulus, repeated every `cycle` frames if it is.

    `flag` is the column of the stimulus features that is 1 while the condition lasts.
    """

    flag: int = 0

    @property
    def start(self) -> int:
        return self.blocks[0][0]

    @property
    def stop(self) -> int:
        return self.blocks[-1][1]

    def split_frames(self, split: Split, context: int) -> range:
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

    def window_starts(self, split: Split, context: int, horizon: int) -> NDArray[np.int64]:
        if not 1 <= context <= LONGEST_CONTEXT:
            raise DataError(
                f"context must be 1 to {LONGEST_CONTEXT} frames, not {context}: that is how "
                "ZAPBench's splits are made; take a shorter one"
            )
        frames = self.split_frames(split, context)
        return np.arange(frames.start, frames.stop - horizon - context + 1, dtype=np.int64)

    def known_frames(self) -> NDArray[np.int64]:
        """Those of the training split; of the held-out condition those before its test windows."""
        if not self.held_out:
            found = self.split_frames(Split.TRAIN, 1)
        else:
            found = range(self.start, self.split_frames(Split.TEST, 1).start + 1)
        return np.arange(found.start, found.stop, dtype=np.int64)

    @property
    def _lengths(self) -> tuple[int, int]:
        """Frames of the test and of the validation split."""
        length = self.stop - self.start - 2 * PADDING
        return int(TEST_SHARE * length), int(VALIDATION_SHARE * length)


def stimulus_condition(
    name: str,
    start: int,
    stop: int,
    flag: int,
    cycle: int | None = None,
    *,
    held_out: bool = False,
) -> ZapbenchCondition:
    """A condition of frames [start, stop)."""
    return ZapbenchCondition(name, ((start, stop),), held_out, cycle, flag)


CONDITIONS = (
    stimulus_condition("gain", 0, 649, flag=1, cycle=66),
    stimulus_condition("dots", 649, 2422, flag=3, cycle=591),
    stimulus_condition("flash", 2422, 3078, flag=5, cycle=66),
    stimulus_condition("taxis", 3078, 3735, flag=8, cycle=131, held_out=True),
    stimulus_condition("turning", 3735, 5047, flag=12, cycle=262),
    stimulus_condition("position", 5047, 5638, flag=17, cycle=197),
    stimulus_condition("open loop", 5638, 6623, flag=18),
    stimulus_condition("rotation", 6623, 7279, flag=20, cycle=66),
    stimulus_condition("dark", 7279, 7879, flag=21),
)
FRAMES = CONDITIONS[-1].stop
