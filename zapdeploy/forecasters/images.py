"""Real photographs as ImageNet-normalised frames, without a network connection.

scikit-learn ships two photographs (CC-BY, "china.jpg" and "flower.jpg"). Crops of them at several
places and sizes are no substitute for ImageNet's accuracy, but they have the statistics of natural
images, which is what activation ranges and BatchNorm statistics depend on.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from zapdeploy.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FRAME_SIZE = 224
SMALLEST_CROP = 160
# Mean and standard deviation of ImageNet's training images, red, green, blue, on [0, 1].
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


def photograph_frames(count: int, seed: int = 0) -> NDArray[np.float32]:
    """`count` crops of real photographs: float32 [count, 3, 224, 224], ImageNet-normalised.

    Frame i depends on (seed, i) alone, so a longer series begins with the shorter one.
    """
    if count < 1:
        raise UsageError(f"count must be at least 1, not {count}; ask for one frame or more")
    return np.stack([_frame(seed, index) for index in range(count)])


@lru_cache(maxsize=64)
def _frame(seed: int, index: int) -> NDArray[np.float32]:
    """One crop: float32 [3, 224, 224]."""
    photographs = _photographs()
    crop = _crop(photographs[index % len(photographs)], np.random.default_rng((seed, index)))
    frame = ((_resize(crop) - IMAGENET_MEAN) / IMAGENET_DEVIATION).transpose(2, 0, 1)
    return np.ascontiguousarray(frame, np.float32)


@lru_cache(maxsize=1)
def _photographs() -> tuple[NDArray[np.float32], ...]:
    """The two photographs, float32 [427, 640, 3] on [0, 1]."""
    try:
        from sklearn.datasets import load_sample_images

        images = load_sample_images().images
    except ImportError as error:
        raise UsageError(
            "photographs must be readable through scikit-learn and Pillow, not "
            f"without {error.name or 'Pillow'}; run: pip install scikit-learn pillow"
        ) from error
    return tuple(np.asarray(image, np.float32) / np.float32(255) for image in images)


def _crop(image: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """A square of random size and place, mirrored half of the time."""
    height, width, _ = image.shape
    size = int(random.integers(SMALLEST_CROP, min(height, width) + 1))
    top = int(random.integers(0, height - size + 1))
    left = int(random.integers(0, width - size + 1))
    crop = image[top : top + size, left : left + size]
    return crop[:, ::-1] if random.random() < 0.5 else crop


def _resize(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bilinear resize of a square image [size, size, 3] to [224, 224, 3], antialiased."""
    kernel = _resize_kernel(image.shape[0])
    rows = np.einsum("yh,hwc->ywc", kernel, image, optimize=True)
    frame: NDArray[np.float32] = np.einsum("xw,ywc->yxc", kernel, rows, optimize=True)
    return frame


@lru_cache(maxsize=64)
def _resize_kernel(size: int) -> NDArray[np.float32]:
    """Triangle filter [224, size], rows summing to 1, as wide as a reduction needs."""
    step = size / FRAME_SIZE
    centres = (np.arange(FRAME_SIZE) + 0.5) * step - 0.5
    distance = np.abs(np.arange(size)[None, :] - centres[:, None])
    kernel = np.maximum(0.0, 1.0 - distance / max(step, 1.0))
    return np.asarray(kernel / kernel.sum(axis=1, keepdims=True), np.float32)
