"""Sample inputs by model name."""

from __future__ import annotations

import numpy as np
import pytest

from zapdeploy.errors import UsageError
from zapdeploy.forecasters import photograph_frames, sample_inputs
from zapdeploy.recordings.synthetic import synthetic_windows


@pytest.mark.parametrize(("name", "context"), [("tsmixer-c4", 4), ("tsmixer-c256", 256)])
def test_forecasters_get_synthetic_windows(name: str, context: int) -> None:
    inputs = sample_inputs(name, 2, seed=3, neurons=10)
    assert list(inputs) == ["input"]
    np.testing.assert_array_equal(inputs["input"], synthetic_windows(10, context, 2, 3))


def test_resnet50_gets_photographs() -> None:
    pytest.importorskip("PIL")
    inputs = sample_inputs("resnet50", 2, seed=3)
    np.testing.assert_array_equal(inputs["input"], photograph_frames(2, 3))


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(UsageError, match="model must be one of resnet50, linear-c4"):
        sample_inputs("vgg", 1)
