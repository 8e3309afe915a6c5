"""Synthetic dF/F windows, for where the real recording cannot be reached.

Everything computed from them must be labelled synthetic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zapdeploy.errors import UsageError
from zapdeploy.recordings.zapbench import DFF_RANGE, FRAME_PERIOD_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLOW_TAU_S = 41.0
FAST_TAU_S = 3.1
NOISE = 0.018
GAIN_SIGMA = 0.95
GAIN_MEDIAN = 0.05


def synthetic_windows(neurons: int, context: int, count: int, seed: int = 0) -> NDArray[np.float32]:
    """Synthetic dF/F: float32 [count, context, neurons], clipped to [-0.25, 1.5].

    Each neuron has one heavy-tailed (lognormal) gain in all windows; its activity is a slow and a
    fast first-order autoregressive process with the recording's time constants, plus white noise.
    Windows are independent of each other. Window i depends on (seed, i) and the neurons' gains on
    `seed` alone, so a longer series begins with the shorter one.
    """
    for name, value in (("neurons", neurons), ("context", context), ("count", count)):
        if value < 1:
            raise UsageError(f"{name} must be at least 1, not {value}; ask for one or more")
    gains = GAIN_MEDIAN * np.random.default_rng((seed, 0)).lognormal(0.0, GAIN_SIGMA, neurons)
    windows = np.empty((count, context, neurons), np.float32)
    for index in range(count):
        random = np.random.default_rng((seed, 1, index))
        windows[index] = _window(random, gains.astype(np.float32), context)
    return windows


def _window(
    random: np.random.Generator, gains: NDArray[np.float32], context: int
) -> NDArray[np.float32]:
    """One window [context, neurons]; both processes start in their stationary distribution."""
    shape = (context, gains.size)
    slow = _autoregression(random, shape, SLOW_TAU_S)
    fast = _autoregression(random, shape, FAST_TAU_S)
    activity = gains * (1.0 + slow + 0.5 * fast)
    noise = NOISE * random.standard_normal(shape, np.float32)
    window: NDArray[np.float32] = np.clip(activity + noise, *DFF_RANGE, dtype=np.float32)
    return window


def _autoregression(
    random: np.random.Generator, shape: tuple[int, int], tau_s: float
) -> NDArray[np.float32]:
    """AR(1) over the first axis with unit variance and time constant `tau_s`."""
    decay = np.float32(np.exp(-FRAME_PERIOD_S / tau_s))
    innovation = np.sqrt(1 - decay * decay)
    process = random.standard_normal(shape, np.float32)
    for step in range(1, shape[0]):
        process[step] = decay * process[step - 1] + innovation * process[step]
    return process
