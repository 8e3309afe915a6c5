"""A recording ready to train on: traces, covariates, conditions, and what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import Floats
from zapdeploy.errors import DataError
from zapdeploy.progress import Progress
from zapdeploy.recordings import zapbench
from zapdeploy.recordings.condition_tables import is_table, read_conditions
from zapdeploy.recordings.conditions import Condition, cut_blocks, whole
from zapdeploy.recordings.description import Description
from zapdeploy.recordings.loading import load_traces
from zapdeploy.recordings.options import ReadOptions
from zapdeploy.recordings.places import Place
from zapdeploy.recordings.processing import (
    averaged,
    doubted_axes,
    relative_to_baseline,
    repaired,
)
from zapdeploy.recordings.source import GUESSED_AXES, Covariates, Source, no_covariates

SYNTHETIC, ZAPBENCH = "synthetic", "zapbench"
IN_MEMORY = "memory"  # the format of what was never in a file

Neurons = int | Sequence[int] | NDArray[np.integer[Any]] | None


@dataclass(frozen=True, eq=False)
class Recording:
    """Activity, and what else is known of each frame.

    `traces` float32 [frames, neurons] in `description.unit`, `stimuli` (covariates) float32
    [frames, any number].
    `columns` says which neurons of the source these are. `ahead`: which covariates are known before
    their frame; None: all. `options`: how it was read. `intervals_s`: seconds between frames, where
    the file has times.
    """

    traces: Floats
    stimuli: NDArray[np.float32]
    conditions: tuple[Condition, ...] = ()
    source: str = "memory"
    columns: NDArray[np.int64] | None = None
    description: Description = None  # type: ignore[assignment]  # filled in from the arrays
    ahead: tuple[bool, ...] | None = None
    options: ReadOptions = field(default_factory=ReadOptions)
    intervals_s: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.traces.dtype != np.float32 or self.traces.ndim != 2:
            raise DataError(
                f"traces must be float32, not {self.traces.dtype} ({self.source}); convert them"
                if self.traces.ndim == 2
                else f"traces must be [frames, neurons], not {list(self.traces.shape)} "
                f"({self.source})"
            )
        frames, neurons = self.traces.shape
        if len(self.stimuli) != frames:
            raise DataError(
                f"covariates must have a row for each of {frames} frames, not {len(self.stimuli)} "
                f"({self.source}); give those of the same recording"
            )
        if not self.conditions:
            object.__setattr__(self, "conditions", whole(frames))
        if self.description is None:
            described = Description(self.source, IN_MEMORY, frames, neurons)
            object.__setattr__(self, "description", described)

    @property
    def neurons(self) -> int:
        """How many neurons were recorded."""
        return int(self.traces.shape[1])

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return int(self.traces.shape[0])

    @property
    def is_synthetic(self) -> bool:
        """Whether the activity was made up here."""
        return self.source.startswith(SYNTHETIC)

    @property
    def is_zapbench(self) -> bool:
        """Whether the benchmark's own choices hold: its conditions are the recording's."""
        return isinstance(self.conditions[0], zapbench.ZapbenchCondition)

    @property
    def frame_rate_hz(self) -> float | None:
        """Frames per second; None where the source does not say."""
        return self.description.frame_rate_hz

    @property
    def unit(self) -> str:
        """What the traces are in."""
        return self.description.unit

    def contexts(self, starts: Sequence[int] | NDArray[np.int64], context: int) -> Floats:
        """What a forecaster is given: [windows, context, neurons]."""
        return np.stack([self.traces[s : s + context] for s in starts])

    def targets(
        self, starts: Sequence[int] | NDArray[np.int64], context: int, horizon: int
    ) -> Floats:
        """What it should forecast: [windows, horizon, neurons]."""
        return np.stack([self.traces[s + context : s + context + horizon] for s in starts])

    def covariates(
        self, starts: Sequence[int] | NDArray[np.int64], context: int, horizon: int
    ) -> NDArray[np.float32]:
        """Covariates of the frames to forecast: [windows, horizon, covariates].

        What is not known ahead stays as it was at the last frame of the context.
        """
        found = np.stack([self.stimuli[s + context : s + context + horizon] for s in starts])
        if self.ahead is not None and not all(self.ahead):
            later = ~np.asarray(self.ahead)
            last = np.stack([self.stimuli[s + context - 1] for s in starts])
            found[:, :, later] = last[:, None, later]
        return found


def open_recording(
    data: str,
    neurons: Neurons = None,
    *,
    options: ReadOptions | None = None,
    seed: int = 0,
    nan_as_zero: bool = False,
    conditions: tuple[Condition, ...] | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Recording:
    """Read a recording; its traces are held once, as float32.

    data: a file or folder of any known format, a URL, "synthetic" (made from `seed` on first use
    and kept on disk) or "zapbench" (the public bucket). neurons: the first so many, or a list of
    columns; None: all. conditions: in the place of those of the data.
    Raises DataError for data that is out of reach, incomplete, or of no known layout.
    """
    from zapdeploy.recordings.readers import read_source

    chosen = options or ReadOptions()
    if nan_as_zero:
        chosen = replace(chosen, nan="zero")
    location, name = _location(data, neurons, seed, progress)
    if conditions is not None and isinstance(conditions[0], zapbench.ZapbenchCondition):
        from zapdeploy.recordings.readers import zapbench as layout

        source = layout.read(Place(location), chosen, conditions)
    else:
        source = read_source(location, chosen)
    source = averaged(source, chosen.average or 1)
    columns = choose_neurons(neurons, source.neurons)
    traces, steps = _traces(source, columns, chosen, name, progress)
    if any(step.startswith(GUESSED_AXES) for step in source.description.processing):
        steps = (*steps, *filter(None, [doubted_axes(traces)]))
    covariates = _covariates(source, chosen)
    description = _described(source, columns, covariates, steps, name)
    return Recording(
        traces,
        covariates.values,
        _conditions(source, chosen, conditions),
        name,
        columns,
        description,
        covariates.ahead,
        chosen,
        None if source.times_s is None else np.diff(source.times_s),
    )


def _location(data: str, neurons: Neurons, seed: int, progress: Progress) -> tuple[str, str]:
    """Where the data is, and what it is called."""
    if data == SYNTHETIC:
        from zapdeploy.recordings.synthetic_recording import synthetic_location

        where = synthetic_location(_demanded(neurons), seed, progress)
        return where, f"synthetic, seed {seed}"
    location = zapbench.ZAPBENCH_URL if data == ZAPBENCH else data
    return location, location


def _traces(
    source: Source, columns: NDArray[np.int64], options: ReadOptions, where: str, progress: Progress
) -> tuple[Floats, tuple[str, ...]]:
    """The traces, and what was done to them beyond reading."""
    writable = options.nan != "refuse" or options.dff is not None
    traces = load_traces(source, columns, progress, writable=writable)
    rate = source.description.frame_rate_hz
    done = repaired(traces, options.nan, where, columns)
    return traces, done + relative_to_baseline(traces, options, rate, where, progress)


def _described(
    source: Source,
    columns: NDArray[np.int64],
    covariates: Covariates,
    steps: tuple[str, ...],
    name: str,
) -> Description:
    """What is known of the neurons that were read."""
    known = source.description
    is_all = columns.size == known.neurons and np.array_equal(columns, np.arange(columns.size))
    ids, places = known.neuron_ids, known.positions
    if not is_all:
        ids = None if ids is None else tuple(ids[c] for c in columns)
        places = None if places is None else tuple(places[c] for c in columns)
    relative = any(step.startswith("dF/F = ") for step in steps)
    return replace(
        known,
        source=name,
        neurons=int(columns.size),
        neuron_ids=ids,
        positions=places,
        processing=(*known.processing, *steps),
        unit="dF/F" if relative else known.unit,
        covariates=covariates.names,
    )


def _covariates(source: Source, options: ReadOptions) -> Covariates:
    """Those of the source, and those in files beside it."""
    found = source.covariates or no_covariates(source.frames)
    for path, ahead in ((options.stimuli, True), (options.behavior, False)):
        if path is None or any(name.split(" ")[0] == path or name == path for name in found.names):
            continue
        found = found.joined(_from_file(path, ahead, source))
    return found


def _from_file(path: str, ahead: bool, source: Source) -> Covariates:
    from zapdeploy.recordings.readers import read_source

    if not Place(path).is_file and not Place(path).is_folder:
        raise DataError(
            f"covariates must be in a file, or a TimeSeries of an NWB file, not missing ({path}); "
            "check the path"
        )
    beside = read_source(path, ReadOptions())
    beside = averaged(beside, source_average(source, beside))
    if beside.frames != source.frames and beside.neurons == source.frames:
        turned = not beside.neurons_first
        known = replace(beside.description, frames=beside.neurons, neurons=beside.frames)
        beside = replace(beside, neurons_first=turned, description=known)
    if beside.frames != source.frames:
        raise DataError(
            f"covariates must have a row for each of {source.frames} frames, not {beside.frames} "
            f"({path}); give those of the same recording"
        )
    columns = np.arange(beside.neurons)
    values = np.nan_to_num(load_traces(beside, columns, lambda *_: None, writable=True))
    names = beside.description.neuron_ids
    stem = Path(path).stem
    if names is None:
        names = tuple(f"{stem} {i}" for i in columns) if columns.size > 1 else (stem,)
    return Covariates(values, names, (ahead,) * columns.size)


def source_average(source: Source, beside: Source) -> int:
    """How many frames of a file beside a recording were averaged to one of its."""
    text = next((s for s in source.description.processing if "averaged to one" in s), "1 ")
    count = int(text.split(" ")[0])
    return count if beside.frames // count == source.frames else 1


def _conditions(
    source: Source, options: ReadOptions, given: tuple[Condition, ...] | None
) -> tuple[Condition, ...]:
    """Those asked for, else the file's own, else one of all frames; cut at gaps."""
    known = source.description
    if given is not None:
        return given
    name = options.conditions
    if name is not None and is_table(name):
        found = read_conditions(Path(name), source.frames, known.frame_rate_hz)
    elif name is not None and not source.conditions:
        raise DataError(
            f"--conditions must be a CSV or TOML file, not '{name}': {known.format} has no "
            f"intervals of its own ({known.source})"
        )
    else:
        found = source.conditions or whole(source.frames)
    unknown = set(options.hold_out) - {condition.name for condition in found}
    if unknown:
        names = ", ".join(condition.name for condition in found)
        raise DataError(f"--hold-out must be one of {names}, not '{min(unknown)}'")
    return tuple(
        replace(
            c,
            blocks=cut_blocks(c.blocks, known.gaps),
            held_out=c.held_out or c.name in options.hold_out,
        )
        for c in found
    )


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
        reason = " ".join(str(error).strip().splitlines()[0].split())
        raise DataError(
            f"neuron list must be whole numbers, one per line, not unreadable: {reason} ({path})"
        ) from error


def _demanded(neurons: Neurons) -> int | None:
    """How many neurons a synthetic recording needs for a choice of them."""
    if neurons is None or isinstance(neurons, int):
        return neurons
    chosen = np.asarray(neurons)
    if not chosen.size or chosen.dtype.kind not in "iu":
        return 1  # the choice is refused later, with a reason
    return int(chosen.max()) + 1
