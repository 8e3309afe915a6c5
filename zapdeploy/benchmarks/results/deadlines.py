"""Times within which a forecast may have to be there, and what sets them.

Source of the first and the fourth: ZAPBench (Lueckmann et al., ICLR 2025, arXiv 2503.02618), one
volume in 0.9141 s, in 72 planes of about 12.7 ms. The second and the third are the periods of a
two-photon microscope at 3.6 Hz and of a light field at 10 Hz. The last is stricter than these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Deadline:
    """seconds, and whose they are."""

    seconds: float
    what: str

    @property
    def text(self) -> str:
        return f"{self.seconds * 1e3:.0f} ms"


DEADLINES = (
    Deadline(0.914, "one volume of ZAPBench's light-sheet microscope"),
    Deadline(0.278, "two-photon imaging at 3.6 Hz"),
    Deadline(0.1, "light-field imaging at 10 Hz"),
    Deadline(0.012, "one plane of ZAPBench's volume"),
    Deadline(0.001, "one millisecond"),
)


def deadlines_json(meets: Callable[[float], bool | None]) -> list[dict[str, Any]]:
    """Every deadline, and whether it is met; None where that cannot be said."""
    return [
        {"deadline_s": one.seconds, "what": one.what, "met": meets(one.seconds)}
        for one in DEADLINES
    ]


def tightest(meets: Callable[[float], bool | None]) -> Deadline | None:
    """The shortest one that is met; None where none is, or where it cannot be said."""
    return next((one for one in reversed(DEADLINES) if meets(one.seconds)), None)
