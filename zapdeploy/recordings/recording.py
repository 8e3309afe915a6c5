"""A recording in memory: traces, stimuli, conditions; real, copied or synthetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import DataError
from zapdeploy.recordings import stores
from zapdeploy.recordings.conditions import CONDITIONS, HORIZON, Condition

STIMULI = 26  # columns of the stimulus features
POSITIONS = 192  # columns of the position embedding
SYNTHETIC, ZAPBENCH = "synthetic", "zapbench"
TRACES = "traces"
STIMULI_FEATURES = "stimuli_features"
POSITION_EMBEDDING = "position_embedding"
STIMULUS_RESPONSE = "stimulus_evoked_response"
_CHECKED_FRAMES = 256

Neurons = int | Sequence[int] | NDArray[np.integer[Any]] | None
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Recording:
    """dF/F of a recording: `traces` float32 [frames, neurons], `stimuli` float32 [frames, 26].

    `columns` says which neurons of the source these are.
    """

    traces: NDArray[np.float32]
    stimuli: NDArray[np.float32]
    conditions: tuple[Condition, ...] = CONDITIONS
    source: str = "memory"
    columns: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        _check_shapes(self.traces.shape, self.stimuli.shape, self.conditions, self.source)
        if self.traces.dtype != np.float32:
            raise DataError(
                f"traces must be float32, not {self.traces.dtype} ({self.source}); convert them"
            )

    @property
    def neurons(self) -> int:
        return int(self.traces.shape[1])

    @property
    def is_synthetic(self) -> bool:
        return self.source.startswith(SYNTHETIC)

    def contexts(self, starts: Sequence[int], context: int) -> NDArray[np.float32]:
        """What a forecaster is given: [windows, context, neurons]."""
        return np.stack([self.traces[s : s + context] for s in starts])

    def targets(self, starts: Sequence[int], context: int) -> NDArray[np.float32]:
        """What it should forecast: [windows, 32, neurons]."""
        return np.stack([self.traces[s + context : s + context + HORIZON] for s in starts])

    def covariates(self, starts: Sequence[int], context: int) -> NDArray[np.float32]:
        """The stimuli of the frames to forecast, known beforehand: [windows, 32, 26]."""
        return np.stack([self.stimuli[s + context : s + context + HORIZON] for s in starts])


def open_recording(
    data: str,
    neurons: Neurons = None,
    *,
    seed: int = 0,
    nan_as_zero: bool = False,
    conditions: tuple[Condition, ...] = CONDITIONS,
    progress: Progress = lambda what, done, total: None,
) -> Recording:
    """Read a recording; its traces are held once, as float32.

    data: "synthetic" (made from `seed` on first use and kept on disk), "zapbench" (the public
    bucket), a folder, or a file://, gs://, https:// or memory:// URL with the arrays `traces` and
    `stimuli_features`. neurons: the first so many, or a list of columns; None: all.
    Raises DataError for data that is out of reach, incomplete or of another layout.
    """
    if data == SYNTHETIC:
        from zapdeploy.recordings.synthetic_recording import synthetic_location

        location = synthetic_location(_demanded(neurons), seed, progress)
        source = f"synthetic, seed {seed}"
    else:
        location = stores.ZAPBENCH_URL if data == ZAPBENCH else data
        source = location
    stores.check_reachable(location)
    traces = stores.open_store(location, TRACES)
    stimuli = stores.read_store(
        stores.open_store(location, STIMULI_FEATURES), f"{location}, {STIMULI_FEATURES}"
    )
    _check_shapes(tuple(traces.shape), stimuli.shape, conditions, location)
    columns = choose_neurons(neurons, int(traces.shape[1]))
    values = _read_traces(traces, columns, neurons, location, progress)
    _check_finite(values, location, nan_as_zero=nan_as_zero)
    return Recording(values, np.nan_to_num(stimuli.astype(np.float32)), conditions, source, columns)


def choose_neurons(neurons: Neurons, available: int) -> NDArray[np.int64]:
    """Column numbers of the neurons asked for. Raises DataError when one does not exist."""
    if neurons is None:
        return np.arange(available)
    if isinstance(neurons, int):
        if not 1 <= neurons <= available:
            raise DataError(
                f"neurons must be 1 to {available}, not {neurons}; the recording has no more"
            )
        return np.arange(neurons)
    chosen = np.asarray(neurons)
    if chosen.ndim != 1 or not chosen.size or chosen.dtype.kind not in "iu":
        raise DataError(
            f"neuron list must be whole numbers in one row, not {chosen.dtype} of shape "
            f"{list(chosen.shape)}; give one column number per line"
        )
    outside = chosen[(chosen < 0) | (chosen >= available)]
    if outside.size:
        raise DataError(
            f"neuron list must hold columns 0 to {available - 1}, not {int(outside[0])} "
            f"({outside.size} out of range); neurons are counted from 0"
        )
    if np.unique(chosen).size != chosen.size:
        raise DataError("neuron list must hold every column once, not twice; remove the repetition")
    return chosen.astype(np.int64)


def read_neuron_list(path: Path) -> NDArray[np.int64]:
    """Column numbers from a text file, one per line, or from an .npy file."""
    try:
        if path.suffix == ".npy":
            return np.asarray(np.load(path, allow_pickle=False))
        return np.loadtxt(path, dtype=np.int64, ndmin=1)
    except (OSError, ValueError) as error:
        raise DataError(
            f"neuron list must be whole numbers, one per line, not unreadable: "
            f"{stores.brief(str(error))} ({path})"
        ) from error


def read_positions(data: str, columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """The position embedding of these neurons: float32 [neurons, 192]."""
    where = f"{data}, {POSITION_EMBEDDING}"
    store = stores.open_store(data, POSITION_EMBEDDING)
    if store.rank != 2 or store.shape[1] != POSITIONS or store.shape[0] <= int(columns.max()):
        raise DataError(
            f"position embedding must be [neurons, {POSITIONS}], not {list(store.shape)} ({where})"
        )
    return stores.read_store(store[columns], where).astype(np.float32)


def read_response(data: str, columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """The stimulus-evoked response that a recording brings: float32 [frames, neurons]."""
    store = stores.open_store(data, STIMULUS_RESPONSE)
    values = np.empty((int(store.shape[0]), columns.size), np.float32)
    where = f"{data}, {STIMULUS_RESPONSE}"
    stores.read_columns(store, columns, values, where, lambda what, done, total: None)
    return values


def _read_traces(
    store: Any, columns: NDArray[np.int64], neurons: Neurons, location: str, progress: Progress
) -> NDArray[np.float32]:
    values = np.empty((int(store.shape[0]), columns.size), np.float32)
    first = neurons is None or isinstance(neurons, int)
    part = slice(0, columns.size) if first else columns
    stores.read_columns(store, part, values, f"{location}, {TRACES}", progress)
    return values


def _demanded(neurons: Neurons) -> int | None:
    """How many neurons a synthetic recording needs for a choice of them."""
    if neurons is None or isinstance(neurons, int):
        return neurons
    chosen = np.asarray(neurons)
    if not chosen.size or chosen.dtype.kind not in "iu":
        return 1  # the choice is refused later, with a reason
    return int(chosen.max()) + 1


def _check_shapes(
    traces: tuple[int, ...],
    stimuli: tuple[int, ...],
    conditions: tuple[Condition, ...],
    where: str,
) -> None:
    frames = conditions[-1].stop
    if len(traces) == 2 and traces[0] != frames and traces[1] == frames:
        raise DataError(
            f"traces must be [{frames} frames, neurons], not {list(traces)} ({where}); "
            "neurons come first there: transpose the array"
        )
    if len(traces) != 2 or traces[0] != frames or traces[1] < 1:
        raise DataError(
            f"traces must be [{frames} frames, neurons], not {list(traces)} ({where}); "
            f"the conditions end at frame {frames}"
        )
    if stimuli != (frames, STIMULI):
        raise DataError(
            f"stimulus features must be [{frames} frames, {STIMULI}], not {list(stimuli)} "
            f"({where}); give those of the same recording"
        )


def _check_finite(values: NDArray[np.float32], where: str, *, nan_as_zero: bool) -> None:
    """Refuse NaN and infinity, or replace them in place; block by block, without a copy."""
    for start in range(0, len(values), _CHECKED_FRAMES):
        block = values[start : start + _CHECKED_FRAMES]
        if np.isfinite(block).all():
            continue
        if nan_as_zero:
            np.nan_to_num(block, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
            continue
        frame, neuron = np.argwhere(~np.isfinite(block))[0].tolist()
        raise DataError(
            f"traces must be finite, not {block[frame, neuron]} (frame {start + frame}, neuron "
            f"{neuron}, {where}); repair them, or have them counted as 0: --nan-as-zero"
        )
