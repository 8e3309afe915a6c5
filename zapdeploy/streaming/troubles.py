"""What happens to frames that are lost, repeated or wrong; counted and said, never silent.

| trouble | choices (the first is the default) |
|---|---|
| late: a newer frame is already there | `skip` its forecast, but keep it in the context; `queue` |
| missing: a gap in the numbers | `hold` the frame before; `reset` the context |
| NaN or infinite values | `hold` the neuron's value of the frame before; `zero`; `drop` the frame |
| repeated, or older than the last | dropped |
| another number of neurons, or no frame at all | dropped: it is missing then |
| the source begins anew (another `run`, or number 0) | the context is reset |
| the sink is slow | `drop` the oldest forecast that waits; `wait` for it |
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from zapdeploy.arrays import Floats
from zapdeploy.errors import UsageError
from zapdeploy.streaming.messages import Frame

LATE, MISSING, NAN, SLOW_SINK = (
    ("skip", "queue"),
    ("hold", "reset"),
    ("hold", "zero", "drop"),
    ("drop", "wait"),
)
LOG = logging.getLogger("zapdeploy.stream")
_QUIET_S = 1.0  # of one kind of trouble at most one line in this time


@dataclass(frozen=True)
class Policies:
    """What to do in each kind of trouble. Raises UsageError for a word that is none."""

    late: str = "skip"
    missing: str = "hold"
    nan: str = "hold"
    slow_sink: str = "drop"

    def __post_init__(self) -> None:
        allowed = {"late": LATE, "missing": MISSING, "nan": NAN, "slow_sink": SLOW_SINK}
        for name, words in allowed.items():
            found = getattr(self, name)
            if found not in words:
                raise UsageError(
                    f"{name.replace('_', '-')} must be one of {', '.join(words)}, not '{found}'"
                )


@dataclass
class Tally:
    """How often each trouble happened, and a line for it now and then."""

    counts: Counter[str] = field(default_factory=Counter)
    clock: Callable[[], float] = time.monotonic
    _said: dict[str, tuple[float, int]] = field(default_factory=dict)

    def count(self, kind: str, what: str, number: int = 1) -> None:
        """`number` more of this kind; `what`: the line to log."""
        if number < 1:
            return
        self.counts[kind] += number
        now = self.clock()
        before, told = self._said.get(kind, (-_QUIET_S, 0))
        if now - before >= _QUIET_S:
            more = self.counts[kind] - told - number
            LOG.warning("%s%s", what, f" (and {more} more since the last line)" if more else "")
            self._said[kind] = (now, self.counts[kind])


class Intake:
    """Turns frames as they come into frames in order, without gaps and without NaN.

    After `admit` has returned True the frame to use is in `values`, after `held` frames that stand
    for lost ones; `anew` says that the context must be forgotten first.
    """

    def __init__(self, neurons: int, context: int, policies: Policies, tally: Tally) -> None:
        self.values: Floats = np.zeros(neurons, np.float32)
        self.held = 0
        self.anew = False
        self._before: Floats = np.zeros(neurons, np.float32)
        self._finite = np.ones(neurons, np.bool_)
        self._context, self._policies, self._tally = context, policies, tally
        self._last: int | None = None
        self._run: object = None

    @property
    def before(self) -> Floats:
        """The frame before this one, which stands for those that were lost in between."""
        return self._before

    def admit(self, frame: Frame) -> bool:
        """Whether there is a frame to use now. values of the frame: [neurons], any real type."""
        self.held, self.anew = 0, False
        if frame.values.shape != self.values.shape:
            self._tally.count(
                "wrong_size",
                f"frame {frame.number} must have {self.values.size} neurons, not "
                f"{frame.values.size}; it is left out",
            )
            return False
        if not self._in_order(frame):
            return False
        self._before, self.values = self.values, self._before
        np.copyto(self.values, frame.values, casting="unsafe")
        if not self._finite_now(frame.number):
            self._before, self.values = self.values, self._before
            self.held, self.anew = 0, False
            return False
        self._last, self._run = frame.number, frame.run
        return True

    def _in_order(self, frame: Frame) -> bool:
        """Whether the frame is the next one; counts what lies between it and the last."""
        if self._last is None:
            return True
        if frame.run != self._run or (frame.number == 0 and self._last > 0):
            self._tally.count("restarts", f"the source began anew with frame {frame.number}")
            self.anew = True
            return True
        gap = frame.number - self._last - 1
        if gap < 0:
            self._tally.count(
                "repeated", f"frame {frame.number} came after {self._last}; it is left out"
            )
            return False
        self._tally.count("missing", f"{gap} frames before {frame.number} are missing", gap)
        if gap and (self._policies.missing == "reset" or gap >= self._context):
            self.anew = True
        else:
            self.held = gap
        return True

    def _finite_now(self, number: int) -> bool:
        """Whether the values can be used; those that are not finite are replaced in place."""
        np.isfinite(self.values, out=self._finite)
        wrong = self._finite.size - int(np.count_nonzero(self._finite))
        if not wrong:
            return True
        policy = self._policies.nan
        done = {"hold": "the values before stand", "zero": "0 stands", "drop": "it is left out"}
        self._tally.count(
            "nan_frames", f"{wrong} values of frame {number} are not finite: {done[policy]}"
        )
        self._tally.counts["nan_values"] += wrong
        if policy == "drop":
            return False
        np.logical_not(self._finite, out=self._finite)
        np.copyto(self.values, self._before if policy == "hold" else 0, where=self._finite)
        return True
