"""zapdeploy events: the curve as a document, as a page, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorstore")

from zapdeploy.benchmarks.simulated import event_driven
from zapdeploy.cli.app import run
from zapdeploy.sim.sigma_delta import run_reference


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("events")
    network, samples, made = (folder / n for n in ("net.onnx", "x.npz", "int8.onnx"))
    export = ["models", "export", "linear-c4", "--neurons", "12", "-o", str(network)]
    assert run([*export, "--sample-inputs", str(samples)]) == 0
    arguments = ["quantize", str(network), "--weights", "8", "--activations", "8"]
    assert run([*arguments, "--calibration", str(samples), "-o", str(made)]) == 0
    return made


def test_the_curve(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(event_driven, "in_lava", run_reference)
    plot = tmp_path / "curve.html"
    given = ["--thresholds", "0,3,40", "--frames", "50", "--plot", str(plot), "--json"]
    capsys.readouterr()
    assert run(["events", str(model), *given]) == 0
    document = json.loads(capsys.readouterr().out)
    points = document["points"]
    assert [point["threshold"] for point in points] == [0, 3, 40]
    operations = [point["synaptic_ops"] for point in points]
    assert operations == sorted(operations, reverse=True)
    assert document["frames"] == 50
    assert document["northpole-sim"]["energy_per_frame_j"]["value"] > 0
    page = plot.read_text()
    assert "synaptic operations per frame" in page
    assert "https://cdn" not in page.split("<script", 1)[0]


def test_open_dimensions_are_given(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A file whose neurons are open is read with --shape as the one that says how many."""
    monkeypatch.setattr(event_driven, "in_lava", run_reference)
    network = onnx.load(model)
    (source,) = network.graph.input
    source.type.tensor_type.shape.dim[2].dim_param = "neurons"
    opened = tmp_path / model.name
    onnx.save(network, opened)
    given = ["--thresholds", "0,8", "--frames", "10", "--json"]
    capsys.readouterr()
    assert run(["events", str(opened), *given]) != 0
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"give --shape '{source.name}=1,4,N'" in line
    documents = []
    for file, shape in ((model, []), (opened, ["--shape", f"{source.name}=1,4,12"])):
        assert run(["events", str(file), *given, *shape]) == 0
        documents.append(json.loads(capsys.readouterr().out))
        del documents[-1]["northpole-sim"]["digest"]  # of the file, too
    assert documents[0] == documents[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--thresholds", "1,x"], "--thresholds must be different whole numbers from 0"),
        (["--thresholds", "4,4"], "--thresholds must be different whole numbers from 0"),
        (["--frames", "0"], "--frames must be at least 1, not 0"),
        (["--target", "northpole-sim"], "event-driven target must be one of loihi2-sim"),
        (["--neurons", "5"], "model must read [1, context, 5], not [1, 4, 12]"),
    ],
)
def test_what_is_wrong_is_one_line(
    model: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(["events", str(model), *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
