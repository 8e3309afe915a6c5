"""Synthetic dF/F windows."""

from __future__ import annotations

import numpy as np
import pytest

from zapdeploy.errors import UsageError
from zapdeploy.recordings.synthetic import synthetic_windows


def test_windows_look_like_fluorescence() -> None:
    windows = synthetic_windows(neurons=2000, context=16, count=4)
    assert windows.shape == (4, 16, 2000)
    assert windows.dtype == np.float32
    assert windows.min() >= -0.25
    assert windows.max() <= 1.5
    assert 0.0 < windows.mean() < 0.2


def test_activity_is_slow_and_gains_are_heavy_tailed() -> None:
    windows = synthetic_windows(neurons=2000, context=64, count=4)
    centred = windows - windows.mean(axis=1, keepdims=True)
    loud = centred[:, :, windows.std(axis=(0, 1)) > 0.1]
    follow = (loud[:, 1:] * loud[:, :-1]).mean() / (loud**2).mean()
    assert follow > 0.6
    spread = windows.std(axis=(0, 1))
    assert np.quantile(spread, 0.99) > 4 * np.median(spread)


def test_windows_depend_on_seed_and_index_alone() -> None:
    longer = synthetic_windows(50, 4, 3, seed=7)
    np.testing.assert_array_equal(longer[:2], synthetic_windows(50, 4, 2, seed=7))
    assert not np.array_equal(longer, synthetic_windows(50, 4, 3, seed=8))
    assert not np.array_equal(longer[0], longer[1])


@pytest.mark.parametrize("size", ["neurons", "context", "count"])
def test_empty_sizes_are_refused(size: str) -> None:
    sizes = {"neurons": 5, "context": 4, "count": 1} | {size: 0}
    with pytest.raises(UsageError) as caught:
        synthetic_windows(**sizes)
    assert str(caught.value) == f"{size} must be at least 1, not 0; ask for one or more"
