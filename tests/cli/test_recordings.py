"""A lab's recording from file to report, whatever its format; and files that are wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorstore")
pytest.importorskip("pynwb")
pytest.importorskip("hdmf_zarr")
pytest.importorskip("pyarrow")

from tests.cli.conftest import Call
from tests.recordings import formats

QUICK = ("--context", 4, "--horizon", 6, "--steps", 40, "--threads", 1)
REAL = Path(__file__).parents[3] / "shared" / "data" / "zebrafish"


def trained(zapdeploy: Call, data: Path, folder: Path, *more: object) -> dict[str, object]:
    called = zapdeploy("train", "linear", "--data", data, "-o", folder, *QUICK, *more, "--json")
    assert called.status == 0, called.err
    found: dict[str, object] = called.json
    return found


def test_the_same_training_whatever_the_format(zapdeploy: Call, tmp_path: Path) -> None:
    """suite2p's subtraction leaves other last bits, which training may not blow up."""
    errors = {}
    for name in ("npy", "csv", "suite2p", "NWB", "CaImAn", "zarr 2", "MATLAB 5"):
        place = tmp_path / name
        place.mkdir()
        data = formats.WRITERS[name](place, formats.activity())
        trained(zapdeploy, data, place / "net")
        found = zapdeploy("evaluate", place / "net", "--data", data, "--json").json
        errors[name] = found["models"][0]["mae"]
    for name, mae in errors.items():
        np.testing.assert_allclose(mae, errors["npy"], rtol=1e-4, err_msg=name)


def test_from_file_to_report(zapdeploy: Call, tmp_path: Path) -> None:
    """Every command follows: what the recording was goes along, and sets the frame rate."""
    data = formats.write_nwb(tmp_path, formats.activity())
    net, int8, zap = tmp_path / "net", tmp_path / "int8.onnx", tmp_path / "int8.zap"
    document = trained(zapdeploy, data, net)
    assert document["unit"] == "dF/F"
    assert document["horizon"] == 6
    assert zapdeploy("quantize", net, "-o", int8).status == 0
    assert zapdeploy("compile", int8, "--target", "northpole-sim", "-o", zap).status == 0
    called = zapdeploy("evaluate", net, int8, zap, "--data", data, "--json")
    float_, quantized, simulated = called.json["models"]
    np.testing.assert_allclose(quantized["mae"], float_["mae"], rtol=0.02)
    np.testing.assert_allclose(simulated["mae"], quantized["mae"], rtol=1e-3)
    assert [entry["model"] for entry in called.json["baselines"]] == [
        "naive mean", "last value", "autoregression",
    ]  # fmt: skip
    for model in (net, int8, zap):
        found = zapdeploy("verify", model, "--json")
        assert found.status == 0, found.json
        assert found.json["fed"]["recording"]["unit"] == "dF/F"
        assert found.json["fed"]["recording"]["frame_rate_hz"] == formats.RATE_HZ
    out = tmp_path / "out"
    call = ("bench", "--models", net, "--targets", "northpole-sim", "--precisions", "int8")
    rows = zapdeploy(*call, "-o", out, "--json").json
    assert rows["settings"]["frame_rate_hz"] == formats.RATE_HZ
    assert "no accuracy" not in json.dumps(rows)
    assert zapdeploy("report", out, "-o", tmp_path / "report.html").status == 0


def test_a_forecaster_that_computes_something_else_is_found(
    zapdeploy: Call, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    data = formats.write_npy(tmp_path, formats.activity())
    trained(zapdeploy, data, tmp_path / "net")
    weights = tmp_path / "net" / "weights.safetensors"
    arrays = load_file(weights)
    arrays["network.forecast.bias"] = arrays["network.forecast.bias"] + np.float32(0.1)
    save_file(arrays, weights)
    called = zapdeploy("verify", tmp_path / "net")
    assert called.status == 1
    assert "DISAGREES" in called.out


def test_several_seeds(zapdeploy: Call, tmp_path: Path) -> None:
    data = formats.write_npy(tmp_path, formats.activity())
    document = trained(zapdeploy, data, tmp_path / "net", "--seeds", 2)
    errors = document["seeds"]
    assert isinstance(errors, list)
    assert len(errors) == 2
    assert document["validation_mae"] == min(errors)
    found = zapdeploy("evaluate", tmp_path / "net", "--data", data, "--json").json
    spread = found["seeds"][str(tmp_path / "net")]
    mae = found["models"][0]["mae"]
    for low, one, high in zip(spread["low"], mae, spread["high"], strict=True):
        assert low <= one <= high


def test_a_forecaster_worse_than_the_naive_mean_is_said_to_be(
    zapdeploy: Call, tmp_path: Path
) -> None:
    """White noise: the last value, from which an untrained forecaster starts, is a bad forecast."""
    noise = np.random.default_rng(0).standard_normal((600, 5)).astype(np.float32)
    np.save(tmp_path / "a.npy", noise)
    call = ("train", "linear", "--data", tmp_path / "a.npy", "-o", tmp_path / "net", *QUICK[:4])
    assert zapdeploy(*call, "--steps", 1, "--threads", 1).status == 0
    called = zapdeploy("evaluate", tmp_path / "net", "--data", tmp_path / "a.npy")
    assert "LOSES to the naive mean at every step" in called.out
    assert "helps 0 of 5 neurons for sure" in called.out


def test_data_show(zapdeploy: Call, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    values = formats.activity()
    values[:, 2] = 1  # dead
    values[:, 4] = np.minimum(values[:, 4], 2.2)  # saturated
    data = formats.write_npy(tmp_path, values)
    page, picture = tmp_path / "page.html", tmp_path / "picture.png"
    called = zapdeploy("data", "show", data, "-o", page)
    assert called.status == 0
    assert "600 frames of 6 neurons" in called.out
    assert "warning: 1 of 6 neurons is dead" in called.out
    assert "warning: 1 of 6 neurons is saturated" in called.out
    assert "warning: the frame rate is unknown" in called.out
    assert "data:image/png;base64," in page.read_text()
    assert zapdeploy("data", "show", data, "-o", picture, "--json").status == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def folder_of(name: str, **arrays: np.ndarray) -> Callable[[Path], Path]:
    def write(place: Path) -> Path:
        (place / name).mkdir()
        for stem, values in arrays.items():
            np.save(place / name / f"{stem}.npy", values)
        return place / name

    return write


def text(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(place: Path) -> Path:
        (place / name).write_bytes(content)
        return place / name

    return write


def hdf5_without_series(place: Path) -> Path:
    import h5py

    with h5py.File(place / "a.h5", "w") as file:
        file["notes"] = np.arange(4)
    return place / "a.h5"


def nwb_without_series(place: Path) -> Path:
    from pynwb import NWBHDF5IO

    with NWBHDF5IO(place / "a.nwb", "w") as io:
        io.write(formats.nwb_file())
    return place / "a.nwb"


def hdf5_called_nwb(place: Path) -> Path:
    return formats.write_hdf5(place, formats.activity()).rename(place / "a.nwb")


def pickled(place: Path) -> Path:
    np.save(place / "a.npy", np.array([{"a": 1}], dtype=object))
    return place / "a.npy"


def one_axis(place: Path) -> Path:
    np.save(place / "a.npy", np.arange(10.0))
    return place / "a.npy"


def two_candidates(place: Path) -> Path:
    np.savez(place / "a.npz", left=np.ones((50, 3)), right=np.ones((50, 4)))
    return place / "a.npz"


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda place: place / "no" / "such", "data must be there, not missing ("),
        (folder_of("empty"), "data must be of a known format, not an empty folder ("),
        (folder_of("other", a=np.ones(3)), "data must be of a known format, not a folder with a"),
        (text("a.xyz", b"hello"), "data must be of a known format, not a file 'a.xyz' ("),
        (text("a.npy", b""), "data must be a recording, not an empty file ("),
        (text("a.npy", b"hello"), ".npy file must hold one array of numbers, not be unreadable"),
        (pickled, ".npy file must hold one array of numbers, not be unreadable: Array can't be"),
        (one_axis, "array must be [frames, neurons] or [neurons, frames], not [10] ("),
        (two_candidates, "file must say which array is the activity, not hold left [50, 3], right"),
        (text("a.h5", b"hello"), "file must be HDF5, not refused"),
        (hdf5_without_series, "HDF5 file must hold an array [frames, neurons], not notes [4] ("),
        (text("a.nwb", b"hello"), "file must be HDF5, not refused"),
        (hdf5_called_nwb, "file must be NWB, not HDF5 without nwb_version ("),
        (nwb_without_series, "NWB file must hold a RoiResponseSeries or Units with spike times"),
        (text("a.mat", b"hello" * 99), ".mat file must be one that MATLAB saved, not unreadable"),
        (text("a.csv", b"a,b\n1,x\n"), "table must hold numbers, not 'x' (column 'b', "),
        (text("a.csv", b"a,b\n1\n"), "table must be readable, not damaged: CSV parse error"),
        (text("a.parquet", b"hello"), "Parquet file must be readable, not damaged"),
        (folder_of("s", ops=np.ones(1)), "folder of suite2p must hold F.npy, not a folder with"),
        (
            folder_of("s", F=np.ones((3, 90)), iscell=np.ones((2, 2))),
            "iscell.npy must have a row for each of F.npy's 3 ROIs, not 2 (",
        ),
        (
            folder_of("s", F=np.ones((3, 90)), iscell=np.ones((3, 2)), Fneu=np.ones((3, 80))),
            "Fneu.npy must be [3, 90] as F.npy is, not [3, 80] (",
        ),
        (
            folder_of("s", F=np.ones((3, 90)), iscell=np.zeros((3, 2))),
            "iscell.npy must mark at least one cell, not none of 3 (",
        ),
    ],
)
def test_wrong_files(
    zapdeploy: Call, tmp_path: Path, write: Callable[[Path], Path], message: str
) -> None:
    place = write(tmp_path)
    for call in (
        ("data", "show", place),
        ("train", "linear", "--data", place, "-o", tmp_path / "o"),
    ):
        called = zapdeploy(*call)
        assert (called.status, called.out) == (2, ""), called
        assert called.err.startswith(f"zapdeploy: {message}"), called.err
        assert called.err.count("\n") == 1
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--path", "nothing"), "NWB file must hold nothing, not Fluorescence/RoiResponseSeries"),
        (("--axes", "neurons"), "--axes must be time,neurons or neurons,time, not 'neurons'"),
        (("--conditions", "epochs"), "--conditions must be a CSV or TOML file, or intervals of"),
        (("--conditions", "trials", "--hold-out", "x"), "--hold-out must be one of gratings, dark"),
        (("--stimuli", "nowhere.csv"), "covariates must be in a file, or a TimeSeries of an NWB"),
        (("--dff", "x"), "--dff must be PERCENTILE:SECONDS such as 8:60, not 'x'"),
        (("--context", 200), "a condition must have at least 884 frames without a break for a"),
        (("--neuropil", 2), "--neuropil must be from 0 to 1, not 2; usual is 0.7"),
        (("--frame-rate", 0), "--frame-rate must be above 0 Hz, not 0"),
    ],
)
def test_wrong_options(
    zapdeploy: Call, tmp_path: Path, options: tuple[object, ...], message: str
) -> None:
    data = formats.write_nwb(tmp_path, formats.activity())
    call = ("train", "linear", "--data", data, "-o", tmp_path / "o", "--horizon", 6)
    called = zapdeploy(*call, *options)
    assert called.status == 2
    assert called.err.startswith(f"zapdeploy: {message}"), called.err
    assert called.err.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_tide_without_covariates(zapdeploy: Call, tmp_path: Path) -> None:
    data = formats.write_npy(tmp_path, formats.activity())
    called = zapdeploy("train", "tide", "--data", data, "-o", tmp_path / "o")
    assert called.status == 2
    assert "tide must have covariates to read, and the recording has none" in called.err


def test_tide_with_covariates_of_any_number(zapdeploy: Call, tmp_path: Path) -> None:
    data = formats.write_npy(tmp_path, formats.activity())
    np.save(tmp_path / "stimulus.npy", np.random.default_rng(0).random((3, 600), np.float32))
    call = ("train", "tide", "--data", data, "--stimuli", tmp_path / "stimulus.npy", *QUICK)
    assert zapdeploy(*call, "-o", tmp_path / "o").status == 0
    found = zapdeploy("evaluate", tmp_path / "o", "--data", data, "--json")
    assert found.status == 0, found.err
    assert found.json["recording"]["covariates"] == [
        "stimulus 0", "stimulus 1", "stimulus 2",
    ]  # fmt: skip
    assert zapdeploy("verify", tmp_path / "o").status == 0


@pytest.mark.parametrize(
    "name", ["whole_brain_70_regions_x_frames", "tectum_20170215-f3_dff_neurons_x_frames"]
)
def test_a_real_recording(zapdeploy: Call, tmp_path: Path, name: str) -> None:
    data = REAL / f"{name}.npy"
    if not data.is_file():
        pytest.skip(f"real recordings are not at {REAL}")
    call = ("train", "linear", "--data", data, "-o", tmp_path / "net", "--context", 8)
    assert zapdeploy(*call, "--steps", 300, "--threads", 1).status == 0
    assert zapdeploy("quantize", tmp_path / "net", "-o", tmp_path / "int8.onnx").status == 0
    called = zapdeploy(
        "evaluate", tmp_path / "net", tmp_path / "int8.onnx", "--data", data, "--json"
    )
    float_, int8 = called.json["models"]
    np.testing.assert_allclose(int8["mae"], float_["mae"], rtol=0.01)


@pytest.mark.parametrize("family", ["low-rank", "gru", "transformer"])
def test_forecasters_for_small_data_reach_the_chip(
    zapdeploy: Call, tmp_path: Path, family: str
) -> None:
    data = formats.write_npy(tmp_path, formats.activity())
    net, int8, zap = tmp_path / "net", tmp_path / "int8.onnx", tmp_path / "int8.zap"
    assert zapdeploy("train", family, "--data", data, "-o", net, *QUICK).status == 0
    assert zapdeploy("quantize", net, "-o", int8).status == 0
    assert zapdeploy("compile", int8, "--target", "northpole-sim", "-o", zap).status == 0
    found = zapdeploy("evaluate", net, int8, zap, "--data", data, "--windows", 20, "--json").json
    float_, quantized, simulated = (entry["mae"] for entry in found["models"])
    np.testing.assert_allclose(quantized, float_, rtol=0.02)
    np.testing.assert_allclose(simulated, quantized, rtol=2e-3)
    assert zapdeploy("verify", zap).status == 0
