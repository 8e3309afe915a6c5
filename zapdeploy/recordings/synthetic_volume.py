"""A synthetic volume: the synthetic recording's traces, spread over the voxels of segments.

Segments are the voxels that are nearest to a neuron's place, up to a radius. A voxel is its
neuron's trace and white noise, whose mean over each segment is taken out: the mean over a segment
is the trace. Voxels of no neuron are noise. Neighbours have no more in common than neurons far
apart, so that nothing can be learnt from them; whatever is computed from it is labelled synthetic.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import UsageError
from zapdeploy.extras import load
from zapdeploy.progress import Progress
from zapdeploy.recordings import stores
from zapdeploy.recordings.synthetic_recording import write_synthetic
from zapdeploy.recordings.volume import DF_OVER_F, SEGMENTATION, Shape, Volume, Voxels
from zapdeploy.recordings.zapbench import FRAMES, TRACES

VOXEL_NOISE = 0.05  # in units of dF/F, of a voxel
FILLED = 0.6  # the share of the volume that segments would take if none met another
FRAMES_AT_ONCE = 64  # in a chunk of the file, and in memory


def write_synthetic_volume(
    location: str, neurons: int, shape: Shape, seed: int = 0, progress: Progress = lambda *_: None
) -> Volume:
    """Write a recording with its volume to a folder: traces, stimuli, `df_over_f`, `segmentation`.

    shape: depth, height and width in voxels, of which each neuron has at least one.
    """
    segments = synthetic_segments(neurons, shape, seed)
    Path(location).mkdir(parents=True, exist_ok=True)
    write_synthetic(location, neurons, seed, progress)
    traces = stores.read_store(stores.open_store(location, TRACES), f"{location}, {TRACES}")
    size = shape[::-1]
    axes = ("x", "y", "z", "t")
    whose = stores.create_store(
        location, SEGMENTATION, size, size, "zarr3", kind="int32", axes=axes[:3]
    )
    whose.write(np.ascontiguousarray(segments.T.astype(np.int32))).result()
    chunk = (*size, FRAMES_AT_ONCE)
    store = stores.create_store(location, DF_OVER_F, (*size, FRAMES), chunk, "zarr3", axes=axes)
    volume = Volume(location, store, segments)
    for start in range(0, FRAMES, FRAMES_AT_ONCE):
        stop = min(start + FRAMES_AT_ONCE, FRAMES)
        random = np.random.default_rng((seed, 6, start))
        block = spread(volume, traces[start:stop], random)
        store[..., start:stop].write(block.transpose(3, 2, 1, 0)).result()
        progress("making the synthetic volume", stop, FRAMES)
    return volume


def synthetic_segments(neurons: int, shape: Shape, seed: int = 0) -> NDArray[np.int64]:
    """Whose each voxel is: int64 [depth, height, width], neurons from 1, 0 for nobody's."""
    voxels = int(np.prod(shape))
    if min(shape) < 1 or not 1 <= neurons <= voxels:
        raise UsageError(
            f"volume must have a voxel for each of {neurons} neurons, not {voxels}; take a larger "
            "one, or fewer neurons"
        )
    spatial = load("scipy.spatial", "models", "make a synthetic volume")
    random = np.random.default_rng((seed, 5))
    chosen = random.choice(voxels, neurons, replace=False)
    places = np.stack(np.unravel_index(np.arange(voxels), shape), axis=1)
    radius = max(1.0, (FILLED * voxels / neurons * 3 / (4 * np.pi)) ** (1 / 3))
    tree = spatial.cKDTree(places[chosen])
    distance, nearest = tree.query(places, distance_upper_bound=radius)
    found: NDArray[np.int64] = np.where(np.isfinite(distance), nearest + 1, 0).reshape(shape)
    return found


def spread(volume: Volume, traces: Voxels, random: np.random.Generator) -> Voxels:
    """Traces [frames, neurons] over the voxels, with noise: float32 [frames, *volume]."""
    noise = random.standard_normal((len(traces), *volume.shape), np.float32)
    noise *= np.float32(VOXEL_NOISE)
    owned = traces - volume.segment_means(noise)
    nobody = np.zeros((len(traces), 1), np.float32)
    noise += np.concatenate([nobody, owned], axis=1)[:, volume.segments]
    return noise
