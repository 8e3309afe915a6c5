"""Pages and lines of text whose words are known, and photographs: float32 [height, width, 3] on
[0, 1]. Everything is drawn from a seed."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.extras import load

Picture = NDArray[np.float32]

# fmt: off
WORDS = (
    "table", "value", "report", "order", "signal", "energy", "water", "letter", "account", "number",
    "street", "garden", "paper", "winter", "morning", "market", "window", "bridge", "station",
    "doctor", "island", "bottle", "silver", "copper", "engine", "camera", "planet", "forest",
    "history", "museum", "orange", "yellow", "purple", "butter", "pepper", "ticket", "square",
)
# fmt: on


def text(random: np.random.Generator, words: int) -> str:
    """Words with some digits among them."""
    drawn = [str(random.choice(WORDS)) for _ in range(words)]
    return " ".join(w if random.random() < 0.8 else str(random.integers(10, 9999)) for w in drawn)


@lru_cache(maxsize=64)
def _font(size: int) -> Any:
    return load("PIL.ImageFont", "models", "draw text").load_default(size)


def line(words: str, size: int, random: np.random.Generator) -> Picture:
    """One line of text, dark on light, with a little noise."""
    image, draw = load("PIL.Image", "models", "draw text"), load("PIL.ImageDraw", "models", "draw")
    left, top, right, bottom = _font(size).getbbox(words)
    edge = size // 4
    paper = image.new("RGB", (int(right - left) + 2 * edge, int(bottom - top) + 2 * edge), "white")
    ink = tuple(int(v) for v in random.integers(0, 90, 3))
    draw.Draw(paper).text((edge - left, edge - top), words, font=_font(size), fill=ink)
    return _worn(_picture(paper), random)


def page(random: np.random.Generator, height: int, width: int) -> Picture:
    """A page of paragraphs, in one size of letters."""
    image, draw = load("PIL.Image", "models", "draw text"), load("PIL.ImageDraw", "models", "draw")
    paper = image.new("RGB", (width, height), "white")
    size = int(random.integers(height // 28, height // 12))
    pen, ink = draw.Draw(paper), tuple(int(v) for v in random.integers(0, 90, 3))
    left, y = int(random.integers(4, width // 8)), int(random.integers(4, height // 8))
    while y < height - size:
        if random.random() < 0.9:
            length = int(random.integers(2, 9))
            pen.text((left, y), text(random, length), font=_font(size), fill=ink)
        y += int(size * random.uniform(1.2, 1.9))
    return _worn(_picture(paper), random)


def _worn(picture: Picture, random: np.random.Generator) -> Picture:
    """With less light, uneven, and noise."""
    light = random.uniform(0.75, 1.0)
    slope = np.linspace(1, random.uniform(0.85, 1.0), picture.shape[1], dtype=np.float32)
    noise = random.standard_normal(picture.shape).astype(np.float32) * random.uniform(0.005, 0.03)
    return np.clip(picture * light * slope[None, :, None] + noise, 0, 1).astype(np.float32)


def resized(picture: Picture, height: int, width: int) -> Picture:
    """Bilinear, with a filter as wide as a reduction needs."""
    image = load("PIL.Image", "models", "resize pictures")
    made = image.fromarray(np.rint(picture * 255).astype(np.uint8))
    return _picture(made.resize((width, height), image.Resampling.BILINEAR))


def _picture(image: Any) -> Picture:
    return np.asarray(np.asarray(image, np.float32) / np.float32(255), np.float32)


def photographs() -> list[Picture]:
    """scikit-learn's two (CC-BY) and, where Matplotlib is there, its portrait (public domain)."""
    datasets = load("sklearn.datasets", "models", "read photographs")
    found = [_picture(p) for p in datasets.load_sample_images().images]
    try:
        from matplotlib import get_data_path
    except ImportError:
        return found
    portrait = Path(get_data_path(), "sample_data", "grace_hopper.jpg")
    if portrait.is_file():
        found.append(_picture(load("PIL.Image", "models", "read photographs").open(portrait)))
    return found


def crop(picture: Picture, random: np.random.Generator, size: int) -> Picture:
    """A square of random size and place, mirrored half of the time, in another light."""
    height, width, _ = picture.shape
    side = int(random.integers(min(height, width) // 3, min(height, width)))
    top, left = int(random.integers(0, height - side)), int(random.integers(0, width - side))
    part = picture[top : top + side, left : left + side]
    part = part[:, ::-1] if random.random() < 0.5 else part
    light = random.uniform(0.7, 1.2)
    return np.clip(resized(np.ascontiguousarray(part), size, size) * light, 0, 1).astype(np.float32)
