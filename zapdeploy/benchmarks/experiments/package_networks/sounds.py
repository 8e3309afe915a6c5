"""Notes, and voices in noise, drawn from a seed: float32 samples on [-1, 1]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import Floats

PIANO_HZ = 27.5  # the lowest of 88 keys
_VOWELS = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (300, 870, 2240),
    (530, 1840, 2480),
)  # formants, Hz


def chord(random: np.random.Generator, samples: int, rate: int) -> tuple[Floats, frozenset[int]]:
    """One to four struck strings, and which keys of a piano they are."""
    keys = random.choice(np.arange(19, 64), size=int(random.integers(1, 5)), replace=False)
    made = np.zeros(samples)
    time = np.arange(samples) / rate
    for key in keys:
        f0 = PIANO_HZ * 2.0 ** (int(key) / 12)
        start = random.uniform(0.05, 0.6)
        since = np.maximum(time - start, 0)
        count = int(min(10, rate / 2 // f0))
        for k in range(1, count + 1):
            decay = np.exp(-since * (1.5 + 0.6 * k)) * (since > 0) * np.minimum(since * 200, 1)
            made += 0.7**k * decay * np.sin(2 * np.pi * k * f0 * since)
    made *= random.uniform(0.2, 0.8) / max(float(np.abs(made).max()), 1e-9)
    made += random.standard_normal(samples) * 10 ** random.uniform(-4, -2.5)
    return made.astype(np.float32), frozenset(int(key) for key in keys)


def voice(random: np.random.Generator, samples: int, rate: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Syllables of harmonics under formants, with pauses and noise; where there is a voice."""
    made, spoken = np.zeros(samples), np.zeros(samples, bool)
    at = int(random.uniform(0, 0.5) * rate)
    while at < samples:
        length = min(int(random.uniform(0.12, 0.35) * rate), samples - at)
        made[at : at + length] += _syllable(random, length, rate)
        spoken[at : at + length] = True
        pause = random.uniform(0.3, 1.2) if random.random() < 0.25 else random.uniform(0.02, 0.08)
        at += length + int(pause * rate)
    made *= random.uniform(0.1, 0.7) / max(float(np.abs(made).max()), 1e-9)
    made += random.standard_normal(samples) * 10 ** random.uniform(-4, -1.3)
    return np.clip(made, -1, 1).astype(np.float32), spoken


def _syllable(random: np.random.Generator, samples: int, rate: int) -> NDArray[np.float64]:
    time = np.arange(samples) / rate
    f0 = random.uniform(90, 220) * (1 + 0.1 * np.sin(2 * np.pi * random.uniform(2, 5) * time))
    phase = 2 * np.pi * np.cumsum(f0) / rate
    k = np.arange(1, 31)[:, None]
    formants = np.array(_VOWELS[int(random.integers(len(_VOWELS)))])[:, None, None]
    gain = np.exp(-(((k * f0 - formants) / (0.12 * formants + 60)) ** 2)).sum(axis=0) + 0.02
    envelope = np.sin(np.pi * np.minimum(np.arange(samples) / max(samples, 1) * 1.6, 1)) ** 0.5
    return np.asarray((gain * np.sin(k * phase) / k**0.5).sum(axis=0) * envelope)


def mel_decibels(sound: Floats, rate: int, bands: int, size: int, hop: int) -> Floats:
    """Power in triangular bands of Slaney's mel scale, in dB under the loudest, at least -80:
    [frames, bands]."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(sound, size // 2), size)[::hop]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2 @ _triangles(rate, bands, size)
    decibels = 10 * np.log10(np.maximum(power, 1e-10) / max(float(power.max()), 1e-10))
    return np.maximum(decibels, -80).astype(np.float32)


def _triangles(rate: int, bands: int, size: int) -> NDArray[np.float64]:
    """[frequencies, bands]; linear up to 1 kHz, logarithmic above, each of the same area."""
    top = 15 + np.log(rate / 2 / 1000) / (np.log(6.4) / 27)
    mel = np.linspace(0, top, bands + 2)
    edges = np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))
    bins = np.fft.rfftfreq(size, 1 / rate)[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rise, fall = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return np.asarray(np.maximum(0, np.minimum(rise, fall)) * 2 / (high - low))
