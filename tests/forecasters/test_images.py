"""Photographs as network inputs."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from zapdeploy.errors import UsageError
from zapdeploy.forecasters import images, photograph_frames

needs_pillow = pytest.mark.skipif(find_spec("PIL") is None, reason="reads JPEG through Pillow")


@needs_pillow
def test_frames_are_normalised_photographs() -> None:
    """Normalisation maps 0 to -0.485 / 0.229 = -2.118 at least, 1 to 0.594 / 0.225 = 2.640."""
    frames = photograph_frames(4)
    assert frames.shape == (4, 3, 224, 224)
    assert frames.dtype == np.float32
    assert frames.min() >= -2.1180
    assert frames.max() <= 2.6401
    assert frames.std() > 0.5
    neighbours = np.corrcoef(frames[0, 0, :, :-1].ravel(), frames[0, 0, :, 1:].ravel())[0, 1]
    assert neighbours > 0.9  # natural images are smooth, noise is not


@needs_pillow
def test_frames_depend_on_seed_and_index_alone() -> None:
    np.testing.assert_array_equal(photograph_frames(3)[:2], photograph_frames(2))
    assert not np.array_equal(photograph_frames(1, seed=1), photograph_frames(1, seed=2))


@pytest.mark.parametrize("size", [160, 224, 427])
def test_resizing_keeps_a_constant_and_a_ramp(size: int) -> None:
    """A wide filter meets the ramp at uneven places: a twentieth of a step, 1e-4, is its due."""
    ramp = np.broadcast_to(np.linspace(0, 1, size, dtype=np.float32), (size, size))
    frame = images._resize(np.stack([ramp, ramp.T, np.ones_like(ramp)], axis=-1))
    np.testing.assert_allclose(frame[..., 2], 1, rtol=1e-6)
    inside = frame[10:-10, 10:-10]
    expected = ((np.arange(224) + 0.5) * size / 224 - 0.5) / (size - 1)
    np.testing.assert_allclose(inside[0, :, 0], expected[10:-10], atol=1e-4)
    np.testing.assert_allclose(inside[:, 0, 1], expected[10:-10], atol=1e-4)


def test_no_frames_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        photograph_frames(0)
    assert str(caught.value) == "count must be at least 1, not 0; ask for one frame or more"


def test_without_pillow_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("sklearn.datasets")

    def unavailable() -> None:
        raise ImportError("The Python Imaging Library is required", name="PIL")

    monkeypatch.setattr(datasets, "load_sample_images", unavailable)
    images._photographs.cache_clear()
    images._frame.cache_clear()
    with pytest.raises(UsageError) as caught:
        photograph_frames(1)
    assert str(caught.value) == (
        "photographs must be readable through scikit-learn and Pillow, not without PIL; "
        "run: pip install scikit-learn pillow"
    )
