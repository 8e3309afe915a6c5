"""Neurodata Without Borders, in HDF5 (pynwb) or Zarr (hdmf-zarr), from disk or over HTTPS.

Traces are a RoiResponseSeries: dF/F before fluorescence, and of fluorescence as suite2p writes it
(`ophys.nwb`) the cells alone with the neuropil subtracted. Several planes of one container with as
many frames each are read side by side. Without one, spike times of Units are counted in bins.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.errors import DataError
from zapdeploy.recordings.conditions import Condition
from zapdeploy.recordings.extras import need
from zapdeploy.recordings.options import ReadOptions
from zapdeploy.recordings.places import Place
from zapdeploy.recordings.readers.hdf5 import check_stored, open_hdf5
from zapdeploy.recordings.readers.nwb_intervals import read_intervals
from zapdeploy.recordings.source import Computed, Covariates, Source, described, with_description
from zapdeploy.recordings.times import frames_of

NAME = "NWB"
BIN_RATE_HZ = 50.0  # bins of 20 ms
NEUROPIL = 0.7  # as suite2p subtracts it
SERIES = "RoiResponseSeries"
PLACED = 5_000  # ROIs whose masks are looked at for their centres


def claims(place: Place) -> bool:
    if place.is_folder:
        document = place.local / ".zattrs"
        return document.is_file() and "NWBFile" in document.read_text(encoding="utf-8")
    if place.is_hdf5 and not place.ends_with(".nwb"):
        with open_hdf5(place) as file:
            return "nwb_version" in file.attrs
    return place.ends_with(".nwb")


def read(place: Place, options: ReadOptions) -> Source:
    file, keeper = _open(place)
    series = _series_by_name(file)
    wanted = None if options.path is None else options.path.strip("/")
    units = file.units if file.units is not None and "spike_times" in file.units.colnames else None
    if wanted == "units" or (wanted is None and not series and units is not None):
        source = _spikes(units, place, options)
    else:
        source = _traces(_chosen(series, wanted, place, units), place, options)
    source = _with_intervals(source, file, options, place)
    source = _with_series(source, file, options)
    return replace(source, values=_Kept(source.values, (file, keeper)))


class _Kept:
    """Values that keep the file open that they are in."""

    def __init__(self, values: Any, kept: Any) -> None:
        self._values, self._kept = values, kept
        self.shape: tuple[int, ...] = tuple(values.shape)
        self.chunks: tuple[int, int] | None = getattr(values, "chunks", None)

    def __getitem__(self, part: tuple[slice, slice]) -> Any:
        return self._values[part]


def _open(place: Place) -> tuple[Any, Any]:
    """The NWBFile, and what has to be kept as long as it is read."""
    need("pynwb", place.location)
    if place.is_folder or place.ends_with(".zarr"):
        need("hdmf_zarr", place.location)
    from zapdeploy.recordings.quiet import quiet

    try:
        with quiet():
            if place.is_folder or place.ends_with(".zarr"):
                from hdmf_zarr import NWBZarrIO

                io = NWBZarrIO(str(place.path or place.location), mode="r")
            else:
                from pynwb import NWBHDF5IO

                file = open_hdf5(place)
                if "nwb_version" not in file.attrs:
                    raise DataError(
                        f"file must be NWB, not HDF5 without nwb_version ({place.location}); name "
                        "it .h5 and give --path, or check the file"
                    )
                io = NWBHDF5IO(file=file, mode="r", load_namespaces=True)
            return io.read(), io
    except DataError:
        raise
    except Exception as error:  # whatever pynwb and hdmf raise where a file is not valid
        line = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(
            f"file must be one that pynwb reads, not refused: {line} ({place.location}); validate "
            "it: python -m pynwb.validate FILE"
        ) from None


def _series_by_name(file: Any) -> dict[str, Any]:
    """Every RoiResponseSeries by container and name, such as DfOverF/RoiResponseSeries."""
    found = {}
    for item in file.objects.values():
        if type(item).__name__ == SERIES:
            parent = "" if item.parent is None else f"{item.parent.name}/"
            found[f"{parent}{item.name}"] = item
    return found


def _chosen(series: dict[str, Any], wanted: str | None, place: Place, units: Any) -> dict[str, Any]:
    """The series to read side by side, by name."""
    if wanted is not None:
        fit = {n: s for n, s in series.items() if _is_called(n, s, wanted)}
    else:
        fit = _best_container(series)
    if not fit:
        there = ", ".join([*series, *(["units"] if units is not None else [])])
        raise DataError(
            f"NWB file must hold {wanted or f'a {SERIES} or Units with spike times'}, not "
            f"{there or 'none'} ({place.location})" + ("; choose one: --path NAME" * bool(there))
        )
    if len(fit) > 1 and len({_frames_of_series(s) for s in fit.values()}) > 1:
        raise DataError(
            f"NWB file must say which series is read where their lengths differ, not hold "
            f"{', '.join(fit)} ({place.location}); choose one: --path NAME"
        )
    return fit


def _is_called(name: str, series: Any, wanted: str) -> bool:
    """By the whole path, the end of it, or its container."""
    whole = _whole_path(series)
    return wanted in (name, series.name, name.split("/")[0], whole) or whole.endswith(f"/{wanted}")


def _whole_path(item: Any) -> str:
    parts = []
    while item is not None and item.parent is not None:
        parts.append(item.name)
        item = item.parent
    return "/".join(reversed(parts))


def _best_container(series: dict[str, Any]) -> dict[str, Any]:
    """dF/F before anything else; neuropil, deconvolved and raw parts are not activity."""
    groups: dict[str, dict[str, Any]] = {}
    for name, one in series.items():
        groups.setdefault(name.split("/")[0].lower(), {})[name] = one
    ranks = ("df", "f/f", "fluorescence", "")
    left_out = ("neuropil", "deconv", "event", "spike", "background")
    usable = {n: g for n, g in groups.items() if not any(word in n for word in left_out)}
    for rank in ranks:
        for name, group in usable.items():
            if rank in name:
                return group
    return series if not usable else {}


def _frames_of_series(series: Any) -> int:
    return int(series.data.shape[1 if _neurons_first(series) else 0])


def _neurons_first(series: Any) -> bool:
    """NWB has time first; some writers have not: the number of ROIs tells."""
    shape = series.data.shape
    if len(shape) != 2:
        return False
    try:
        rois = len(series.rois.data)
    except (AttributeError, TypeError):
        return False
    return shape[0] == rois != shape[1]


def _traces(chosen: dict[str, Any], place: Place, options: ReadOptions) -> Source:
    parts = []
    for name, series in chosen.items():
        shape = series.data.shape
        if len(shape) != 2:
            raise DataError(
                f"{SERIES} must be [frames, ROIs], not {list(shape)} ({name}, {place.location}); "
                "choose another: --path NAME"
            )
        check_stored(series.data, f"{place.location}, {name}")
        parts.append(_part(series, options))
    first = next(iter(chosen.values()))
    values = Computed(
        (parts[0][0].shape[0], sum(part.shape[1] for part, *_ in parts)),
        _beside([p[0] for p in parts]),
        parts[0][0].chunks,
    )
    times, rate = _timing(first, values.shape[0], place)
    names = ", ".join(chosen)
    source = described(
        values,
        place.location,
        NAME,
        options,
        neurons_first=options.axes == "neurons,time" if options.axes else False,
        array=names,
        unit=_unit(first, names),
        frame_rate_hz=rate,
        times_s=times,
    )
    steps = tuple(dict.fromkeys(step for _, found, *_ in parts for step in found))
    ids = tuple(i for *_, found, _ in parts for i in found)
    places = [p for *_, found in parts for p in found]
    positions = tuple(places) if len(places) == values.shape[1] else None
    return with_description(
        source,
        processing=(*source.description.processing, *steps),
        neuron_ids=ids if len(ids) == source.neurons else None,
        positions=positions,
        position_unit="pixel" if positions else "",
    )


def _part(
    series: Any, options: ReadOptions
) -> tuple[Computed, tuple[str, ...], list[str], list[tuple[float, ...]]]:
    """One series time first: values, what was done to them, ids and centres of its neurons."""
    data, first = series.data, _neurons_first(series)
    shape = data.shape[::-1] if first else data.shape
    rows = _roi_rows(series, shape[1])
    kept, steps = _cells(series, rows, options)
    neuropil, share = _neuropil(series, options)
    if neuropil is not None:
        steps = (*steps, f"neuropil subtracted: F - {share:g} Fneu")

    def block(source: Any, frames: slice, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        if not chosen.size:
            return np.zeros((frames.stop - frames.start, 0), np.float32)
        low, high = int(chosen.min()), int(chosen.max()) + 1
        found = source[low:high, frames].T if first else source[frames, low:high]
        return np.asarray(found, np.float32)[:, chosen - low]

    def read(frames: slice, columns: slice) -> NDArray[np.float32]:
        chosen = kept[columns]
        found = block(data, frames, chosen)
        if neuropil is not None:
            found = found - np.float32(share) * block(neuropil.data, frames, chosen)
        return found

    table = _table(series)
    ids = [] if table is None else [str(table.id[int(row)]) for row in rows[kept]]
    chunks = getattr(data, "chunks", None)
    values = Computed((shape[0], kept.size), read, chunks and tuple(chunks[:: -1 if first else 1]))
    return values, steps, ids, _centres(table, rows[kept])


def _beside(parts: list[Computed]) -> Any:
    """Read columns over several parts that stand side by side."""
    edges = np.cumsum([0, *(part.shape[1] for part in parts)])

    def read(frames: slice, columns: slice) -> NDArray[np.float32]:
        found = []
        for part, start, stop in zip(parts, edges, edges[1:], strict=False):
            low, high = max(columns.start, start), min(columns.stop, stop)
            if low < high:
                found.append(part[frames, slice(int(low - start), int(high - start))])
        return np.concatenate(found, axis=1)

    return read


def _table(series: Any) -> Any:
    return getattr(getattr(series, "rois", None), "table", None)


def _roi_rows(series: Any, count: int) -> NDArray[np.int64]:
    """Rows of the plane segmentation that the columns are."""
    try:
        rows = np.asarray(series.rois.data[:], np.int64)
    except (AttributeError, TypeError):
        rows = np.arange(count)
    return rows if rows.size == count else np.arange(count)


def _cells(
    series: Any, rows: NDArray[np.int64], options: ReadOptions
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Columns that are cells, where the segmentation says so as suite2p does."""
    table = _table(series)
    names = () if table is None else table.colnames
    column = next((n for n in ("iscell", "is_cell", "Accepted", "accepted") if n in names), None)
    if options.all_rois or column is None:
        return np.arange(rows.size), ()
    marks = np.asarray(table[column].data[:])
    marks = marks[:, 0] if marks.ndim == 2 else marks
    if marks.dtype.kind not in "fiub" or len(marks) <= int(rows.max(initial=0)):
        return np.arange(rows.size), ()
    kept = np.flatnonzero(marks[rows] > 0)
    if not kept.size:
        return np.arange(rows.size), ()
    return kept, (f"{kept.size} of {rows.size} ROIs that are cells ({column})",)


def _neuropil(series: Any, options: ReadOptions) -> tuple[Any, float]:
    """The neuropil's series beside fluorescence, where there is one, and its share."""
    share = NEUROPIL if options.neuropil is None else options.neuropil
    parent = series.parent
    if not share or parent is None or parent.name != "Fluorescence" or parent.parent is None:
        return None, share
    beside = getattr(parent.parent, "data_interfaces", {}).get("Neuropil")
    found = None if beside is None else beside.roi_response_series.get(series.name)
    if found is None or found.data.shape != series.data.shape:
        return None, share
    return found, share


def _timing(series: Any, frames: int, place: Place) -> tuple[Any, float | None]:
    """Times of the frames in seconds where there are any, else the rate."""
    if series.timestamps is not None:
        times = np.asarray(series.timestamps[:], np.float64)
        if times.size != frames:
            raise DataError(
                f"{SERIES} must have a time for each of its {frames} frames, not {times.size} "
                f"({series.name}, {place.location}); the file is not consistent: validate it, or "
                "give --axes"
            )
        return times, None
    if not series.rate:
        raise DataError(
            f"{SERIES} must have a rate or timestamps, not neither ({series.name}, "
            f"{place.location}); give --frame-rate HZ and another file format"
        )
    return None, float(series.rate)


def _unit(series: Any, names: str) -> str:
    if any(word in names.lower() for word in ("df", "f/f")):
        return "dF/F"
    unit = str(series.unit or "").strip()
    return "fluorescence" if unit.lower() in ("", "lumens", "n.a.", "na", "a.u.") else unit


def _centres(table: Any, rows: NDArray[np.int64]) -> list[tuple[float, ...]]:
    """x, y of each ROI in pixels, from pixel masks; none where there are none."""
    if table is None or "pixel_mask" not in table.colnames or rows.size > PLACED:
        return []
    found: list[tuple[float, ...]] = []
    for row in rows:
        mask = table["pixel_mask"][int(row)]
        points = np.array([[float(p[0]), float(p[1])] for p in mask]).reshape(-1, 2)
        if not len(points):
            return []
        x, y = points.mean(axis=0)
        found.append((round(float(x), 2), round(float(y), 2)))
    return found


def _spikes(units: Any, place: Place, options: ReadOptions) -> Source:
    """Spikes counted in bins: float32 [bins, units]."""
    rate = options.bin_rate_hz or BIN_RATE_HZ
    trains = [np.asarray(units["spike_times"][row], np.float64) for row in range(len(units))]
    spikes = np.concatenate(trains) if trains else np.empty(0)
    if not spikes.size:
        raise DataError(
            f"Units must have spike times, not none ({place.location}); give another file"
        )
    start = float(np.floor(spikes.min() * rate) / rate)
    bins = int(np.floor((spikes.max() - start) * rate)) + 1
    counts = np.zeros((bins, len(trains)), np.float32)
    for column, train in enumerate(trains):
        index = np.floor((train - start) * rate).astype(np.int64)
        np.add.at(counts[:, column], index[(index >= 0) & (index < bins)], 1)
    source = described(
        counts,
        place.location,
        f"{NAME} Units",
        options,
        neurons_first=False,
        array="units",
        unit="spikes per bin",
        frame_rate_hz=rate,
        times_s=None,
    )
    step = f"spikes counted in bins of {1000 / rate:g} ms from {start:g} s (--bin-rate)"
    return with_description(
        source,
        frame_rate_hz=rate,
        processing=(step,),
        neuron_ids=tuple(str(i) for i in units.id[:]),
    )


def _with_intervals(source: Source, file: Any, options: ReadOptions, place: Place) -> Source:
    """The file's own intervals as conditions, where --conditions names a table of them."""
    name = options.conditions
    if name is None or name.lower().endswith((".csv", ".toml")):
        return source
    table = read_intervals(file, name, place.location)
    times = _frame_times(source, file)
    found: dict[str, list[tuple[int, int]]] = {}
    for label, start, stop in table:
        block = frames_of(start, stop, times)
        if block[1] > block[0]:
            found.setdefault(label, []).append(block)
    conditions = tuple(Condition(label, tuple(sorted(blocks))) for label, blocks in found.items())
    if not conditions:
        raise DataError(
            f"intervals '{name}' must lie within the recording, not outside ({place.location})"
        )
    return replace(source, conditions=conditions)


def _frame_times(source: Source, file: Any) -> NDArray[np.float64]:
    """Seconds at which every frame is, in the clock of the file's intervals."""
    known = source.description
    rate = known.frame_rate_hz or 1.0
    start = 0.0
    if known.array == "units":
        start = float(known.processing[0].split(" from ")[1].split(" s")[0])
    else:
        series = next(
            s for n, s in _series_by_name(file).items() if n == known.array.split(", ")[0]
        )
        if series.timestamps is not None:
            return np.asarray(series.timestamps[:], np.float64)
        start = float(series.starting_time or 0.0)
    return start + np.arange(source.frames) / rate


def _with_series(source: Source, file: Any, options: ReadOptions) -> Source:
    """Covariates that are named as a TimeSeries of the file, held until their next value."""
    for name, ahead in ((options.stimuli, True), (options.behavior, False)):
        found = next(
            (one for one in file.objects.values()
             if (name is not None and one.name == name and hasattr(one, "data")
             and getattr(one, "timestamps", None) is not None) or
             (one.name == name and getattr(one, "rate", None))),
            None,
        )  # fmt: skip
        if found is None or name is None:
            continue
        data = np.asarray(found.data[:], np.float32).reshape(len(found.data), -1)
        if found.timestamps is not None:
            times = np.asarray(found.timestamps[:], np.float64)
        else:
            times = float(found.starting_time or 0) + np.arange(len(data)) / float(found.rate)
        at = np.searchsorted(times, _frame_times(source, file), side="right") - 1
        values = data[np.clip(at, 0, len(data) - 1)]
        names = tuple(f"{name} {i}" if data.shape[1] > 1 else name for i in range(data.shape[1]))
        more = Covariates(values, names, (ahead,) * len(names))
        known = source.covariates
        source = replace(source, covariates=more if known is None else known.joined(more))
    return source
