"""Every format gives the same numbers, and says what the file says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorstore")
pytest.importorskip("pynwb")
pytest.importorskip("hdmf_zarr")
pytest.importorskip("pyarrow")

from tests.recordings import formats
from zapdeploy.recordings import ReadOptions, open_recording
from zapdeploy.recordings.description import read_description
from zapdeploy.recordings.facts import recording_facts

ACTIVITY = formats.activity()


@pytest.mark.parametrize("name", formats.WRITERS)
def test_the_same_numbers_whatever_the_format(tmp_path: Path, name: str) -> None:
    path = formats.WRITERS[name](tmp_path, ACTIVITY)
    found = open_recording(str(path))
    np.testing.assert_allclose(found.traces, ACTIVITY, rtol=0, atol=1e-6)
    assert found.traces.dtype == np.float32
    assert (found.frames, found.neurons) == ACTIVITY.shape
    rate = None if name in formats.WITHOUT_RATE else formats.RATE_HZ
    assert found.frame_rate_hz == (rate if rate is None else pytest.approx(rate))
    assert read_description(found.description.as_json()) == found.description


@pytest.mark.parametrize("name", ["npy", "HDF5", "zarr 2", "suite2p", "CaImAn", "NWB"])
def test_columns_can_be_chosen_in_any_order(tmp_path: Path, name: str) -> None:
    path = formats.WRITERS[name](tmp_path, ACTIVITY)
    found = open_recording(str(path), [4, 0, 3])
    np.testing.assert_allclose(found.traces, ACTIVITY[:, [4, 0, 3]], atol=1e-6)
    assert found.columns is not None
    assert found.columns.tolist() == [4, 0, 3]


def test_suite2p_says_what_was_done(tmp_path: Path) -> None:
    plane = formats.write_suite2p(tmp_path, ACTIVITY)
    known = open_recording(str(plane)).description
    assert known.format == "suite2p"
    assert known.unit == "fluorescence"
    assert "6 of 8 ROIs that are cells (iscell)" in known.processing
    assert "neuropil subtracted: F - 0.7 Fneu" in known.processing
    assert known.neuron_ids == ("0", "2", "3", "5", "6", "7")  # every third of the first is none
    assert known.positions is not None
    assert known.positions[1] == (2.0, 20.0)  # x, y of ROI 2, whose "med" is y, x
    assert known.frame_rate_hz == formats.RATE_HZ


def test_suite2p_options(tmp_path: Path) -> None:
    plane = formats.write_suite2p(tmp_path, ACTIVITY)
    everything = open_recording(
        str(plane.parents[1]), options=ReadOptions(neuropil=0.0, all_rois=True)
    )
    np.testing.assert_array_equal(everything.traces, np.load(plane / "F.npy").T)
    assert "all ROIs" in everything.description.processing


def test_nothing_pickled_is_executed(tmp_path: Path) -> None:
    """An ops.npy that would create a file if it were unpickled as Python does."""
    import os
    import pickle

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "executed"),)

    plane = formats.write_suite2p(tmp_path, ACTIVITY)
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    with (plane / "ops.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        pickle.dump(np.array({"fs": 3.0, "bomb": Bomb()}, dtype=object), file)
    found = open_recording(str(plane))
    assert not (tmp_path / "executed").exists()
    np.testing.assert_allclose(found.traces, ACTIVITY, atol=1e-6)


def test_nwb_prefers_df_over_f_and_says_it(tmp_path: Path) -> None:
    path = str(formats.write_nwb(tmp_path, ACTIVITY))
    assert open_recording(path).unit == "dF/F"
    raw = open_recording(path, options=ReadOptions(path="Fluorescence"))
    np.testing.assert_allclose(raw.traces, 100 * ACTIVITY, rtol=1e-6)
    assert raw.unit == "fluorescence"
    assert raw.description.positions is not None
    assert raw.description.positions[3] == (4.0, 6.0)  # the centre of its two pixels


def test_nwb_intervals_are_conditions(tmp_path: Path) -> None:
    path = str(formats.write_nwb(tmp_path, ACTIVITY))
    options = ReadOptions(conditions="trials", hold_out=("dark",))
    gratings, dark = open_recording(path, options=options).conditions
    assert gratings.name == "gratings"
    assert gratings.blocks == ((0, 150), (300, 450))  # 12 s of 12.5 Hz
    assert dark.held_out
    assert dark.blocks == ((150, 300), (450, 600))


def test_spikes_are_counted_in_bins(tmp_path: Path) -> None:
    counts = np.random.default_rng(1).poisson(0.5, (500, 4)).astype(np.float32)
    counts[0, 0], counts[-1, 0] = 1, 1
    path = str(formats.write_units(tmp_path, counts, 20.0))
    found = open_recording(path, options=ReadOptions(bin_rate_hz=20.0))
    np.testing.assert_array_equal(found.traces, counts)
    assert found.frame_rate_hz == 20.0
    assert found.unit == "spikes per bin"
    assert open_recording(path).frame_rate_hz == 50.0


def test_axes_that_look_swapped_are_doubted(tmp_path: Path) -> None:
    """Slow activity of 300 neurons over 200 frames: the longer axis is not time."""
    random = np.random.default_rng(0)
    slow = np.cumsum(random.standard_normal((200, 300)), axis=0)
    np.save(tmp_path / "a.npy", slow.astype(np.float32))
    (taken, doubt) = open_recording(str(tmp_path / "a.npy")).description.processing
    assert "axes taken as neurons,time" in taken
    assert re.fullmatch(r"axes doubtful: neighbouring frames correlate with -?0\.0\d, .*", doubt)
    warnings = recording_facts(open_recording(str(tmp_path / "a.npy"))).warnings
    assert doubt in warnings
    given = open_recording(str(tmp_path / "a.npy"), options=ReadOptions(axes="time,neurons"))
    assert given.traces.shape == (200, 300)
    assert not given.description.processing
    np.save(tmp_path / "b.npy", slow.T.astype(np.float32)[:150])
    assert len(open_recording(str(tmp_path / "b.npy")).description.processing) == 1


def test_axes_are_found_and_said_and_can_be_given(tmp_path: Path) -> None:
    square = formats.activity(frames=40, neurons=60)
    np.save(tmp_path / "a.npy", square)
    taken = open_recording(str(tmp_path / "a.npy"))
    assert taken.traces.shape == (60, 40)  # the longer axis is taken for time
    assert "axes taken as neurons,time" in taken.description.processing[0]
    given = open_recording(str(tmp_path / "a.npy"), options=ReadOptions(axes="time,neurons"))
    np.testing.assert_array_equal(given.traces, square)
    assert given.description.processing == ()


def test_an_array_of_zeros_is_not_damaged(tmp_path: Path) -> None:
    """Zarr stores no chunk that holds nothing but the fill value."""
    import zarr

    zarr.open_array(
        str(tmp_path / "z"), mode="w", shape=(300, 5), chunks=(100, 5), dtype="f4", fill_value=0
    )
    assert not open_recording(str(tmp_path / "z")).traces.any()


def test_a_path_with_two_dots(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    formats.write_zarr(tmp_path, ACTIVITY)
    found = open_recording(str(tmp_path / "inner" / ".." / "a.zarr"))
    np.testing.assert_allclose(found.traces, ACTIVITY)


def test_npy_is_mapped_not_copied(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ACTIVITY)
    found = open_recording(str(tmp_path / "a.npy"))
    base = found.traces
    while getattr(base, "base", None) is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


def test_times_give_rate_jitter_and_gaps(tmp_path: Path) -> None:
    """A pause of 5 s after frame 299: no window reaches over it."""
    times = np.arange(600) / formats.RATE_HZ
    times[300:] += 5
    table = np.hstack([times[:, None], ACTIVITY])
    np.savetxt(tmp_path / "a.csv", table, delimiter=",", header="t," + "n," * 5 + "n", comments="")
    found = open_recording(str(tmp_path / "a.csv"))
    assert found.frame_rate_hz == pytest.approx(formats.RATE_HZ)
    assert found.description.gaps == (300,)
    assert found.description.interval_jitter == pytest.approx(0, abs=1e-6)
    assert found.conditions[0].blocks == ((0, 300), (300, 600))


def test_averaging_halves_rate_and_frames(tmp_path: Path) -> None:
    path = str(formats.write_hdf5(tmp_path, ACTIVITY))
    found = open_recording(path, options=ReadOptions(average=4))
    expected = ACTIVITY.reshape(150, 4, 6).mean(axis=1)
    np.testing.assert_allclose(found.traces, expected, rtol=1e-6)
    assert found.frame_rate_hz == formats.RATE_HZ / 4
    assert "4 frames averaged to one" in found.description.processing


def test_relative_fluorescence_looks_at_no_later_frame(tmp_path: Path) -> None:
    """dF/F of the first half is the same whether or not there is a second."""
    np.save(tmp_path / "whole.npy", ACTIVITY)
    np.save(tmp_path / "half.npy", ACTIVITY[:300])
    options = ReadOptions(dff="8:4", frame_rate_hz=formats.RATE_HZ, axes="time,neurons")
    whole = open_recording(str(tmp_path / "whole.npy"), options=options)
    half = open_recording(str(tmp_path / "half.npy"), options=options)
    np.testing.assert_array_equal(whole.traces[:300], half.traces)
    frame, neuron = 200, 2
    base = np.sort(ACTIVITY[frame - 49 : frame + 1, neuron])[4]  # the 8th percentile of 50 frames
    assert whole.traces[frame, neuron] == pytest.approx(ACTIVITY[frame, neuron] / base - 1)
    assert whole.unit == "dF/F"


def test_covariates_beside_the_recording(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ACTIVITY)
    stimulus, speed = np.arange(600.0), -np.arange(600.0)
    np.savetxt(tmp_path / "stimulus.csv", stimulus, header="contrast", comments="")
    np.save(tmp_path / "speed.npy", speed[None].astype(np.float32))
    options = ReadOptions(
        stimuli=str(tmp_path / "stimulus.csv"), behavior=str(tmp_path / "speed.npy")
    )
    found = open_recording(str(tmp_path / "a.npy"), options=options)
    assert found.description.covariates == ("contrast", "speed")
    assert found.ahead == (True, False)
    seen = found.covariates([10], 4, 3)[0]
    np.testing.assert_array_equal(seen[:, 0], [14, 15, 16])  # known beforehand
    np.testing.assert_array_equal(seen[:, 1], [-13, -13, -13])  # as at the last frame of context


@pytest.mark.parametrize("nan", ["zero", "interpolate"])
def test_values_that_are_missing(tmp_path: Path, nan: str) -> None:
    values = ACTIVITY.copy()
    values[5:8, 1], values[0, 2] = np.nan, np.inf
    np.save(tmp_path / "a.npy", values)
    found = open_recording(str(tmp_path / "a.npy"), options=ReadOptions(nan=nan)).traces
    last = ACTIVITY[4, 1] if nan == "interpolate" else 0
    np.testing.assert_array_equal(found[5:8, 1], last)
    assert found[0, 2] == (ACTIVITY[1, 2] if nan == "interpolate" else 0)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), values)  # the file is left alone
