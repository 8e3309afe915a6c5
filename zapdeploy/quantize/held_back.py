"""Samples that no choice is made on, to judge the quantized network by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zapdeploy.quantize.network import Network
from zapdeploy.quantize.samples import Arrays, input_shapes, run_counts, take_runs

FEWEST = 8  # under so many none is spared
SHARE = 4  # one in so many
MOST = 16


@dataclass(frozen=True)
class Split:
    """Samples to choose scales on, and to judge on; where there are few these are the same."""

    fitted: Arrays
    judged: Arrays
    held_back: bool


def hold_back(network: Network, samples: Arrays) -> Split:
    """One sample in four, 16 at most, evenly spread, out of 8 or more."""
    runs = max(run_counts(network, samples).values(), default=1)
    if runs < FEWEST:
        return Split(samples, samples, False)
    count = min(runs // SHARE, MOST)
    step = runs / count
    judged = (np.arange(count) * step + step / 2).astype(np.int64)
    fitted = np.setdiff1d(np.arange(runs), judged)
    shapes = input_shapes(network)
    return Split(
        {name: take_runs(values, shapes[name], runs, fitted) for name, values in samples.items()},
        {name: take_runs(values, shapes[name], runs, judged) for name, values in samples.items()},
        True,
    )
