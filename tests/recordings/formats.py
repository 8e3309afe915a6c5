"""The same activity in every format, written by the field's own libraries in its tools' layouts."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RATE_HZ = 12.5
Write = Callable[[Path, np.ndarray], Path]


def activity(frames: int = 600, neurons: int = 6, seed: int = 3) -> np.ndarray:
    """Slow waves with noise, float32 [frames, neurons]; no two neurons alike."""
    random = np.random.default_rng(seed)
    phase = 2 * np.pi * np.arange(frames)[:, None] / np.linspace(25, 60, neurons)
    noise = random.standard_normal((frames, neurons))
    return (2 + np.sin(phase) + 0.1 * noise).astype(np.float32)


def write_npy(folder: Path, traces: np.ndarray) -> Path:
    np.save(folder / "a.npy", traces.T)
    return folder / "a.npy"


def write_npz(folder: Path, traces: np.ndarray) -> Path:
    np.savez(folder / "a.npz", dff=traces, depth=np.arange(3.0))
    return folder / "a.npz"


def write_csv(folder: Path, traces: np.ndarray) -> Path:
    """Times in the first column, as pandas writes a table with its index."""
    names = ",".join(f"cell {i}" for i in range(traces.shape[1]))
    times = np.arange(len(traces))[:, None] / RATE_HZ
    np.savetxt(folder / "a.csv", np.hstack([times, traces]), delimiter=",", fmt="%.9g",
               header=f"time,{names}", comments="")  # fmt: skip
    return folder / "a.csv"


def write_parquet(folder: Path, traces: np.ndarray) -> Path:
    import pyarrow
    import pyarrow.parquet

    columns = {f"cell {i}": traces[:, i] for i in range(traces.shape[1])}
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "a.parquet")
    return folder / "a.parquet"


def write_hdf5(folder: Path, traces: np.ndarray) -> Path:
    import h5py

    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("session/dff", data=traces, chunks=(100, 3), compression="gzip")
        file["session/trials"] = np.arange(4)
        file.attrs["frame_rate"] = RATE_HZ
    return folder / "a.h5"


def write_mat(folder: Path, traces: np.ndarray) -> Path:
    from scipy.io import savemat

    savemat(folder / "a.mat", {"dff": traces.T, "frame_rate": RATE_HZ, "name": "fish"})
    return folder / "a.mat"


def write_mat73(folder: Path, traces: np.ndarray) -> Path:
    """As MATLAB has it: HDF5 with a user block of 512 bytes, and axes the other way round."""
    import h5py

    path = folder / "b.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["dff"] = traces  # MATLAB sees [neurons, frames]
        file["fs"] = np.array([[RATE_HZ]])
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + bytes(8) + b"\x00\x02IM"
    with path.open("r+b") as file:
        file.write(header)
    return path


def write_zarr(folder: Path, traces: np.ndarray) -> Path:
    import zarr

    group = zarr.open_group(str(folder / "a.zarr"), mode="w")
    group["dff"] = traces.T
    return folder / "a.zarr"


def write_zarr3(folder: Path, traces: np.ndarray) -> Path:
    import tensorstore

    path = folder / "c.zarr"
    spec = {
        "driver": "zarr3",
        "kvstore": f"file://{path}/",
        "metadata": {
            "shape": list(traces.shape),
            "data_type": "float32",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [128, 4]}},
            "codecs": [{"name": "bytes"}, {"name": "zstd", "configuration": {"level": 3}}],
            "dimension_names": ["time", "neuron"],
        },
    }
    tensorstore.open(spec, create=True).result().write(traces).result()
    return path


def write_suite2p(folder: Path, traces: np.ndarray, *, others: int = 2) -> Path:
    """A plane's folder as suite2p leaves it: ROIs that are no cells among the cells, neuropil, and
    pickled ops and stat. F - 0.7 Fneu of the cells is the activity.
    """
    plane = folder / "suite2p" / "plane0"
    plane.mkdir(parents=True)
    f, fneu, iscell = suite2p_arrays(traces, others)
    np.save(plane / "F.npy", f)
    np.save(plane / "Fneu.npy", fneu)
    np.save(plane / "spks.npy", np.maximum(f, 0))
    np.save(plane / "iscell.npy", iscell)
    ops = {"fs": RATE_HZ, "nframes": len(traces), "save_path": Path("/data"), "nplanes": 1}
    np.save(plane / "ops.npy", np.array(ops, dtype=object))
    stat = [{"med": [10 * i, i], "ypix": np.arange(3)} for i in range(len(f))]
    np.save(plane / "stat.npy", np.array(stat, dtype=object))
    return plane


def suite2p_arrays(traces: np.ndarray, others: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """F, Fneu and iscell: every third ROI is no cell until `others` of them were put in."""
    random = np.random.default_rng(5)
    count = traces.shape[1] + others
    iscell = np.ones((count, 2), np.float32)
    iscell[[1 + 3 * i for i in range(others)], 0] = 0
    fneu = random.random((count, len(traces)), np.float32)
    f = random.random((count, len(traces)), np.float32)
    cells = iscell[:, 0] > 0
    f[cells] = traces.T + np.float32(0.7) * fneu[cells]
    return f, fneu, iscell


def write_caiman(folder: Path, traces: np.ndarray) -> Path:
    """As CaImAn's save_dict_to_hdf5 lays it out, one component not accepted."""
    import h5py

    count = traces.shape[1]
    kept = np.array([i for i in range(count + 1) if i != 2])
    dff = np.full((count + 1, len(traces)), 9.0, np.float32)
    dff[kept] = traces.T
    path = folder / "a_cnmf.hdf5"
    with h5py.File(path, "w") as file:
        file["estimates/F_dff"] = dff
        file["estimates/C"] = dff * 2
        file["estimates/idx_components"] = kept
        file["estimates/R"] = "NoneType"
        file["params/data/fr"] = RATE_HZ
    return path


def nwb_file() -> Any:
    from pynwb import NWBFile

    return NWBFile(
        session_description="test",
        identifier="test",
        session_start_time=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    )


def plane_segmentation(file: Any, count: int) -> Any:
    """A two-photon plane with a region for every ROI, as pynwb's tutorial makes it."""
    from pynwb.ophys import ImageSegmentation, OpticalChannel

    device = file.create_device("microscope")
    channel = OpticalChannel("green", "GCaMP", 510.0)
    plane = file.create_imaging_plane(
        name="plane", optical_channel=channel, description="", device=device,
        excitation_lambda=920.0, indicator="GCaMP6s", location="tectum", imaging_rate=RATE_HZ,
    )  # fmt: skip
    module = file.create_processing_module("ophys", "optical physiology")
    segmentation = ImageSegmentation()
    module.add(segmentation)
    table = segmentation.create_plane_segmentation("", plane, "PlaneSegmentation")
    for roi in range(count):
        table.add_roi(pixel_mask=[(roi, 2 * roi, 1.0), (roi + 2, 2 * roi, 1.0)])
    return module, table


def write_nwb(folder: Path, traces: np.ndarray, name: str = "a.nwb") -> Path:
    """dF/F beside the fluorescence it was made from, time first, with a rate."""
    from pynwb import NWBHDF5IO
    from pynwb.ophys import DfOverF, Fluorescence, RoiResponseSeries

    file = nwb_file()
    module, table = plane_segmentation(file, traces.shape[1])
    region = table.create_roi_table_region("all", region=list(range(traces.shape[1])))
    raw = RoiResponseSeries("RoiResponseSeries", traces * 100, "lumens", region, rate=RATE_HZ)
    module.add(Fluorescence(roi_response_series=raw))
    dff = RoiResponseSeries("RoiResponseSeries", traces, "n.a.", region, rate=RATE_HZ)
    module.add(DfOverF(roi_response_series=dff))
    file.add_trial_column("condition", "what was shown")
    for index in range(4):
        start = index * 12.0
        file.add_trial(start, start + 12.0, condition=("gratings", "dark")[index % 2])
    with NWBHDF5IO(folder / name, "w") as io:
        io.write(file)
    return folder / name


def write_nwb_zarr(folder: Path, traces: np.ndarray) -> Path:
    from hdmf_zarr import NWBZarrIO
    from pynwb.ophys import DfOverF, RoiResponseSeries

    file = nwb_file()
    module, table = plane_segmentation(file, traces.shape[1])
    region = table.create_roi_table_region("all", region=list(range(traces.shape[1])))
    times = np.arange(len(traces)) / RATE_HZ
    dff = RoiResponseSeries("RoiResponseSeries", traces, "n.a.", region, timestamps=times)
    module.add(DfOverF(roi_response_series=dff))
    path = folder / "a.nwb.zarr"
    with NWBZarrIO(str(path), "w") as io:
        io.write(file)
    return path


def write_suite2p_nwb(folder: Path, traces: np.ndarray) -> Path:
    """suite2p's ophys.nwb: Fluorescence, Neuropil and Deconvolved, and iscell of the ROIs."""
    from pynwb import NWBHDF5IO
    from pynwb.ophys import Fluorescence, RoiResponseSeries

    f, fneu, iscell = suite2p_arrays(traces, 2)
    file = nwb_file()
    module, table = plane_segmentation(file, len(f))
    table.add_column("iscell", "two columns - iscell & probcell", iscell)
    region = table.create_roi_table_region("all", region=list(range(len(f))))
    for name, data in (("Fluorescence", f), ("Neuropil", fneu), ("Deconvolved", f)):
        series = RoiResponseSeries("plane0", data.T, "lumens", region, rate=RATE_HZ)
        module.add(Fluorescence(roi_response_series=series, name=name))
    with NWBHDF5IO(folder / "ophys.nwb", "w") as io:
        io.write(file)
    return folder / "ophys.nwb"


def write_units(folder: Path, counts: np.ndarray, rate_hz: float, name: str = "u.nwb") -> Path:
    """Units as Neuropixels files have them: spikes anywhere in their bins. counts: [bins, units];
    the first bin of the first unit must hold a spike.
    """
    from pynwb import NWBHDF5IO

    file = nwb_file()
    random = np.random.default_rng(0)
    file.add_unit_column("quality", "of the sorting")
    for unit in range(counts.shape[1]):
        bins = np.repeat(np.arange(len(counts)), counts[:, unit].astype(int))
        times = np.sort((bins + random.uniform(0.05, 0.95, bins.size)) / rate_hz)
        file.add_unit(spike_times=times, quality="good")
    with NWBHDF5IO(folder / name, "w") as io:
        io.write(file)
    return folder / name


WRITERS: dict[str, Write] = {
    "npy": write_npy,
    "npz": write_npz,
    "csv": write_csv,
    "parquet": write_parquet,
    "HDF5": write_hdf5,
    "MATLAB 5": write_mat,
    "MATLAB 7.3": write_mat73,
    "zarr 2": write_zarr,
    "zarr 3": write_zarr3,
    "suite2p": write_suite2p,
    "CaImAn": write_caiman,
    "NWB": write_nwb,
    "NWB zarr": write_nwb_zarr,
    "suite2p NWB": write_suite2p_nwb,
}
WITHOUT_RATE = {"npy", "npz", "parquet", "zarr 2", "zarr 3"}
