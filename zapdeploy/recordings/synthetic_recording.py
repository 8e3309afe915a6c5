"""A synthetic recording of ZAPBench's shape, for where the real one cannot be reached.

Everything computed from it must be labelled synthetic. Per neuron: a lognormal gain times the sum
of a fast and a slow first-order process, 24 shared factors, stimulus-locked bumps, sparse events
and a slow drift; then white noise, subtraction of the running 8th percentile, and clipping. The
amplitudes are chosen so that a shared linear forecaster has the error curve of the real recording.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import UsageError
from zapdeploy.extras import load
from zapdeploy.progress import Progress
from zapdeploy.recordings.cache import cache_folder
from zapdeploy.recordings.stores import CHUNK, create_store, write_store
from zapdeploy.recordings.synthetic import FAST_TAU_S, SLOW_TAU_S
from zapdeploy.recordings.zapbench import (
    CONDITIONS,
    DFF_RANGE,
    FRAME_PERIOD_S,
    FRAMES,
    POSITIONS,
    STIMULI,
    ZAPBENCH_NEURONS,
)

VERSION = 1  # of the recipe: a recording made by another one is made again
GAIN_SIGMA = 0.95
NOISE = 0.018
FACTORS = 24
FACTOR_TAU_S = 22.5
EVENT_RATE_HZ = 0.0022
EVENT_DECAY_S = 1.75
DRIFT_TAU_S = 1200.0
BASELINE_RADIUS = 400
BASELINE_PERCENTILE = 8
RESPONSIVE_SHARE = 0.3  # of the neurons, to each stimulus
BUMP_WIDTH_FRAMES = (3.0, 10.0)
# In units of dF/F at a gain of 1, tuned as the text above says.
FAST, SLOW, SHARED, BUMP, EVENT, DRIFT = 0.0061, 0.0118, 0.0081, 0.122, 0.0341, 0.0072


def synthetic_location(neurons: int | None, seed: int, progress: Progress) -> str:
    """The folder of a synthetic recording of at least so many neurons, made if there is none.

    Neuron i is the same in recordings of any size, so a larger one serves.
    """
    wanted = ZAPBENCH_NEURONS if neurons is None else neurons
    if not 1 <= wanted <= ZAPBENCH_NEURONS:
        raise UsageError(f"neurons must be 1 to {ZAPBENCH_NEURONS}, not {wanted}; give a size")
    root = cache_folder()
    stem = f"synthetic-v{VERSION}-seed{seed}-"
    sizes = sorted(int(path.name.removeprefix(stem)) for path in root.glob(f"{stem}*[0-9]"))
    kept = next((size for size in sizes if size >= wanted and neurons is not None), None)
    if neurons is None and ZAPBENCH_NEURONS in sizes:
        kept = ZAPBENCH_NEURONS
    if kept is not None:
        return str(root / f"{stem}{kept}")
    return str(_make(root, f"{stem}{wanted}", wanted, seed, progress))


def write_synthetic(location: str, neurons: int, seed: int, progress: Progress) -> None:
    """Write the recording to a path or URL, 512 neurons at a time."""
    traces = create_store(location, "traces", (FRAMES, neurons), (CHUNK, CHUNK), "zarr3")
    shared = shared_factors(seed)
    for start in range(0, neurons, CHUNK):
        stop = min(start + CHUNK, neurons)
        block = neuron_block(start // CHUNK, shared, seed, stop - start)
        write_store(traces, block, slice(start, stop))
        progress("making the synthetic recording", stop, neurons)
    stimuli = create_store(location, "stimuli_features", (FRAMES, STIMULI), (FRAMES, 26), "zarr")
    write_store(stimuli, stimulus_features())
    shape = (neurons, POSITIONS)
    positions = create_store(location, "position_embedding", shape, (CHUNK, POSITIONS), "zarr")
    write_store(positions, position_embedding(neurons, seed))


def shared_factors(seed: int) -> NDArray[np.float32]:
    """The population's 24 factors: float32 [frames, 24], unit variance."""
    random = np.random.default_rng((seed, 1))
    return autoregression(random, (FRAMES, FACTORS), FACTOR_TAU_S)


def neuron_block(
    index: int, shared: NDArray[np.float32], seed: int, count: int = CHUNK
) -> NDArray[np.float32]:
    """dF/F of neurons 512 index to 512 index + count: float32 [frames, count].

    Depends on (seed, index) alone; a shorter block is the beginning of the whole one.
    """
    random = np.random.default_rng((seed, 2, index))
    gains = np.exp(GAIN_SIGMA * random.standard_normal(CHUNK, np.float32))
    shape = (FRAMES, CHUNK)
    activity = np.float32(FAST) * autoregression(random, shape, FAST_TAU_S)
    activity += np.float32(SLOW) * autoregression(random, shape, SLOW_TAU_S)
    loadings = random.standard_normal((FACTORS, CHUNK), np.float32)
    activity += np.float32(SHARED / FACTORS**0.5) * (shared @ loadings)
    _add_bumps(activity, random)
    activity += np.float32(EVENT) * _events(random, shape)
    activity += np.float32(DRIFT) * autoregression(random, shape, DRIFT_TAU_S)
    activity *= gains
    activity += np.float32(NOISE) * random.standard_normal(shape, np.float32)
    return subtract_baseline(activity[:, :count])


def autoregression(
    random: np.random.Generator, shape: tuple[int, int], tau_s: float
) -> NDArray[np.float32]:
    """AR(1) over the first axis with unit variance and time constant `tau_s`, from the start."""
    lfilter = load("scipy.signal", "models", "make a synthetic recording").lfilter

    decay = np.float32(np.exp(-FRAME_PERIOD_S / tau_s))
    process = random.standard_normal(shape, np.float32)
    process[1:] *= np.sqrt(1 - decay * decay)
    filtered = lfilter(np.ones(1, np.float32), np.array([1, -decay], np.float32), process, axis=0)
    return np.asarray(filtered, np.float32)


def subtract_baseline(activity: NDArray[np.float32]) -> NDArray[np.float32]:
    """Minus the running 8th percentile over 400 frames to either side, clipped to [-0.25, 1.5]."""
    ndimage = load("scipy.ndimage", "models", "make a synthetic recording")

    result = np.empty_like(activity)
    size = 2 * BASELINE_RADIUS + 1
    for neuron in range(activity.shape[1]):
        trace = np.ascontiguousarray(activity[:, neuron])  # one row: the fast way of SciPy
        result[:, neuron] = trace - ndimage.percentile_filter(
            trace, BASELINE_PERCENTILE, size=size, mode="nearest"
        )
    clipped: NDArray[np.float32] = np.clip(result, *DFF_RANGE, out=result)
    return clipped


def stimulus_features() -> NDArray[np.float32]:
    """float32 [frames, 26]: a condition's flag column is 1 while it lasts; the last four are 0.

    The other columns of a condition run through the phase of its cycle.
    """
    features = np.zeros((FRAMES, STIMULI), np.float32)
    flags = [condition.flag for condition in CONDITIONS]
    for index, condition in enumerate(CONDITIONS):
        span = slice(condition.start, condition.stop)
        features[span, condition.flag] = 1
        if condition.cycle is None:
            continue
        first = flags[index - 1] + 1 if index else 0
        phase = 2 * np.pi * np.arange(condition.stop - condition.start) / condition.cycle
        for order, column in enumerate(range(first, condition.flag)):
            features[span, column] = np.sin((order + 1) * phase)
    return features


def position_embedding(neurons: int, seed: int) -> NDArray[np.float32]:
    """float32 [neurons, 192]: 32 waves along each axis of a random place in the unit cube."""
    random = np.random.default_rng((seed, 3))
    places = random.random((ZAPBENCH_NEURONS, 3), np.float32)[:neurons]
    waves = np.float32(2) ** np.linspace(0, 6, 32, dtype=np.float32)
    angles = (np.float32(np.pi) * places[:, :, None] * waves).reshape(neurons, -1)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def _add_bumps(activity: NDArray[np.float32], random: np.random.Generator) -> None:
    """Add each neuron's response to each repeated stimulus: a bump at a phase of its own."""
    neurons = activity.shape[1]
    for condition in CONDITIONS:
        if condition.cycle is None:
            continue
        phase = condition.cycle * random.random(neurons, np.float32)
        width = np.asarray(random.uniform(*BUMP_WIDTH_FRAMES, neurons), np.float32)
        responsive = random.random(neurons, np.float32) < RESPONSIVE_SHARE
        height = random.standard_exponential(neurons, np.float32) * responsive
        distance = np.abs(np.arange(condition.cycle, dtype=np.float32)[:, None] - phase)
        distance = np.minimum(distance, condition.cycle - distance)
        bump = np.float32(BUMP) * height * np.exp(-0.5 * (distance / width) ** 2)
        length = condition.stop - condition.start
        cycles = -(-length // condition.cycle)
        activity[condition.start : condition.stop] += np.tile(bump, (cycles, 1))[:length]


def _events(random: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Sparse events of exponential size that decay within seconds."""
    lfilter = load("scipy.signal", "models", "make a synthetic recording").lfilter

    onsets = random.random(shape, np.float32) < EVENT_RATE_HZ * FRAME_PERIOD_S
    sizes = np.zeros(shape, np.float32)
    sizes[onsets] = random.standard_exponential(int(onsets.sum()), np.float32)
    decay = np.float32(np.exp(-FRAME_PERIOD_S / EVENT_DECAY_S))
    filtered = lfilter(np.ones(1, np.float32), np.array([1, -decay], np.float32), sizes, axis=0)
    return np.asarray(filtered, np.float32)


def _make(root: Path, name: str, neurons: int, seed: int, progress: Progress) -> Path:
    """Write beside the final place, then take it: an interrupted call leaves nothing."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=root, prefix=f".{name}."))
    except OSError as error:
        raise UsageError(
            f"cache folder '{root}' must be writable: {error.strerror}; set ZAPDEPLOY_CACHE"
        ) from None
    try:
        write_synthetic(str(temporary), neurons, seed, progress)
        target = root / name
        if not target.exists():
            temporary.replace(target)
        return target
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
