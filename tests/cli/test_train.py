"""zapdeploy train on a synthetic recording of a few neurons."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorstore")

from tests.cli.conftest import Call
from zapdeploy.arrays import load_arrays
from zapdeploy.forecasters.loading import load_forecaster

QUICK = ("--steps", 20, "--validate-every", 10, "--validation-windows", 8, "--device", "cpu")
DATA = ("--data", "synthetic", "--neurons", 6)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZAPDEPLOY_CACHE", str(cache))


def test_a_forecaster_is_trained_and_described(zapdeploy: Call, tmp_path: Path) -> None:
    called = zapdeploy("train", "linear", *DATA, *QUICK, "-o", tmp_path / "a", "--json")
    assert called.status == 0
    found = called.json
    assert found["forecaster"] == "linear-c4"
    assert found["data"] == "synthetic, seed 0"
    assert found["synthetic"] is True
    assert (found["neurons"], found["parameters"]) == (6, 160)
    assert [entry["step"] for entry in found["history"]] == [10, 20]
    assert found["history"][1]["validation_mae"] < found["history"][0]["validation_mae"]
    assert load_forecaster(tmp_path / "a").spec.neurons == 6
    samples = load_arrays(tmp_path / "a" / "calibration.npz")
    assert {name: values.shape for name, values in samples.items()} == {"input": (512, 4, 6)}


def test_a_second_call_goes_on(zapdeploy: Call, tmp_path: Path) -> None:
    call = ("train", "tsmixer-c4", *DATA, "--width", 4, *QUICK, "-o", tmp_path / "a")
    first = zapdeploy(*call)
    assert first.status == 0
    assert first.out.startswith(f"wrote {tmp_path / 'a'} (tsmixer-c4, 6 neurons, 316 parameters)")
    assert "stopped: steps, synthetic data" in first.out
    assert zapdeploy(*call).out == first.out
    longer = zapdeploy(*call[:-2], "--steps", 30, *call[-2:], "--json").json
    assert [entry["step"] for entry in longer["history"]] == [10, 20, 30]


def test_another_training_needs_restart(zapdeploy: Call, tmp_path: Path) -> None:
    call = ("train", "linear", *DATA, *QUICK, "-o", tmp_path / "a")
    assert zapdeploy(*call).status == 0
    refused = zapdeploy(*call, "--seed", 1)
    assert refused.status == 2
    assert "its seed is 0, not 1" in refused.err
    assert refused.err.count("\n") == 1
    assert zapdeploy(*call, "--seed", 1, "--restart").status == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("lstm",),
            "forecaster must be one of linear, low-rank, time-mix, tsmixer, tide, residual",
        ),
        (("resnet50",), "forecaster must be one of linear, low-rank, time-mix, tsmixer, tide"),
        (("linear", "--context", 257), "context must be 1 to 256 frames, not 257"),
        (("linear", "--context", 0), "--context must be at least 1 frame, not 0"),
        (("linear-c4", "--context", 256), "--context must be 4 for linear-c4, not 256"),
        (("linear", "--width", 3), "width must be left out for linear-c4, not 3"),
        (("tide", "--nlinear"), "nlinear must be left out for tide-c4, not set"),
        (("linear", "--threads", 0), "threads must be at least 1, not 0"),
        (("linear", "--neurons", 0), "neurons must be 1 to 71721, not 0"),
        (("linear", "--data", "/nowhere"), "data must be there, not missing (/nowhere)"),
        (("linear", "--neuron-list", "x"), "--neurons and --neuron-list must not be given"),
    ],
)
def test_refusals(
    zapdeploy: Call, tmp_path: Path, arguments: tuple[object, ...], message: str
) -> None:
    called = zapdeploy("train", *DATA, *QUICK, "-o", tmp_path / "a", *arguments)
    assert called.status == 2
    assert message in called.err
    assert called.err.count("\n") == 1
    assert not (tmp_path / "a").exists()
