"""A forecaster of listed columns is judged on these, in whatever form, without being told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorstore")

from tests.cli.conftest import Call
from zapdeploy.api import compile_model
from zapdeploy.arrays import load_arrays
from zapdeploy.benchmarks.accuracy.evaluation import evaluate_models
from zapdeploy.cli.app import run
from zapdeploy.forecasters import Recording, export_model, open_recording
from zapdeploy.quantize import quantize_onnx

LIST = (9, 3, 12, 5)
FORMS = ("net", "float.onnx", "int8.onnx", "int8.zap")
JUDGED = ("--data", "synthetic", "--windows", 1, "--json")


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A linear forecaster trained on four columns, in every form."""
    place = tmp_path_factory.mktemp("columns")
    (place / "list.txt").write_text("\n".join(map(str, LIST)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZAPDEPLOY_CACHE", str(place))
        steps = ("--steps", "2", "--validate-every", "2", "--validation-windows", "8")
        chosen = ("--data", "synthetic", "--neuron-list", str(place / "list.txt"))
        assert run(["train", "linear", *chosen, *steps, "-o", str(place / "net")]) == 0
    export_model("linear-c4", place / "float.onnx", checkpoint=place / "net")
    windows = load_arrays(place / "net" / "calibration.npz")
    quantize_onnx(place / "float.onnx", place / "int8.onnx", calibration=windows)
    compile_model(place / "int8.onnx", output=place / "int8.zap")
    return place


@pytest.fixture(autouse=True)
def _kept(forms: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZAPDEPLOY_CACHE", str(forms))


@pytest.fixture
def older(forms: Path, tmp_path: Path) -> Path:
    """The same forecaster in a folder that does not say which columns it is of."""
    copy = shutil.copytree(forms / "net", tmp_path / "older")
    document = json.loads((copy / "forecaster.json").read_text())
    del document["forecaster"]["columns"]
    (copy / "forecaster.json").write_text(json.dumps(document))
    return copy


def test_every_form_is_judged_on_its_own_columns(zapdeploy: Call, forms: Path, older: Path) -> None:
    """As in memory on these columns cut out by hand, and not as on the first four."""
    models = [str(forms / name) for name in FORMS]
    found = zapdeploy("evaluate", *models, *JUDGED).json
    whole = open_recording("synthetic", max(LIST) + 1)
    cut = Recording(np.ascontiguousarray(whole.traces[:, LIST]), whole.stimuli, whole.conditions)
    wanted = [entry.as_json()["mae"] for entry in evaluate_models(models, cut, windows=1)]
    assert [entry["mae"] for entry in found["models"]] == [list(mae) for mae in wanted]
    assert found["neurons"] == 4
    assert (
        zapdeploy("evaluate", *models, "--neuron-list", forms / "list.txt", *JUDGED).json == found
    )
    (first,) = zapdeploy("evaluate", older, *JUDGED).json["models"]
    assert first["mae"] != found["models"][0]["mae"]


def test_each_form_says_it_alone(zapdeploy: Call, forms: Path) -> None:
    together = zapdeploy("evaluate", *(forms / name for name in FORMS), *JUDGED).json["models"]
    alone = [zapdeploy("evaluate", forms / name, *JUDGED).json["models"][0] for name in FORMS[1:]]
    assert alone == together[1:]


@pytest.mark.parametrize("form", FORMS)
def test_other_columns_are_one_line(zapdeploy: Call, forms: Path, form: str) -> None:
    called = zapdeploy("evaluate", forms / form, "--neurons", 4, *JUDGED)
    assert (called.status, called.out, called.err.count("\n")) == (2, "", 1)
    assert called.err.startswith("zapdeploy: columns must be those trained on, 9,3,12,... (4 colum")
    assert "not 0,1,2,... (4 columns, SHA-256 " in called.err
    assert f"({forms / form}); leave --neurons out, or give that list" in called.err


def test_models_that_do_not_say_the_same_are_one_line(
    zapdeploy: Call, forms: Path, older: Path
) -> None:
    models = ("mean", older, forms / "int8.onnx")
    called = zapdeploy("evaluate", *models, *JUDGED)
    assert (called.status, called.out, called.err.count("\n")) == (2, "", 1)
    assert "models must say the same of the columns they were trained on, not none (" in called.err
    assert "int8.onnx); evaluate one at a time, or choose with --neuron-list FILE" in called.err
    chosen = ("--neuron-list", forms / "list.txt")
    judged = zapdeploy("evaluate", *models, *chosen, *JUDGED).json["models"]
    assert len(judged) == 3


def test_a_stream_is_of_its_columns_too(zapdeploy: Call, forms: Path) -> None:
    from zapdeploy.benchmarks.simulated.event_driven import neurons_read

    assert neurons_read(forms / "int8.onnx") == LIST
    called = zapdeploy("events", forms / "int8.onnx", "--data", "synthetic", "--neurons", 4)
    assert (called.status, called.out) == (2, "")
    assert "columns must be those trained on, 9,3,12,..." in called.err


def test_a_quantized_folder_says_it(zapdeploy: Call, forms: Path, tmp_path: Path) -> None:
    calibration = ("--calibration", forms / "net" / "calibration.npz")
    bits = ("--weights", 8, "--activations", 8)
    made = tmp_path / "module.onnx"
    assert zapdeploy("quantize", forms / "net", *bits, *calibration, "-o", made).status == 0
    called = zapdeploy("evaluate", forms / "net", made, *JUDGED)
    plain, quantized = (np.array(entry["mae"]) for entry in called.json["models"])
    np.testing.assert_allclose(quantized, plain, rtol=0.05)
