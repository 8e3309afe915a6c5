"""From seconds to frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def frames_of(start_s: float, stop_s: float, times_s: NDArray[np.float64]) -> tuple[int, int]:
    """The frames [first, last + 1) whose times are from start to before stop."""
    first, last = np.searchsorted(times_s, [start_s, stop_s], side="left")
    return int(first), int(last)
