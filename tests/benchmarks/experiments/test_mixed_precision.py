"""The experiment on mixed precision: rows of a small network, and what counts as a saving."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("brevitas")
pytest.importorskip("sklearn")
pytest.importorskip("PIL")

import torch
from torch import nn

from zapdeploy.benchmarks.experiments import mixed_precision as experiment
from zapdeploy.benchmarks.experiments.mixed_precision import Row, document, run, saves, table
from zapdeploy.benchmarks.experiments.resnet50_digits import TrainedDigits

ROW = Row("int8", 99.0, 30.0, 4e-3, 4e-3, 1e-4, {"8/8": 3})


@pytest.fixture(scope="module")
def data() -> TrainedDigits:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU()]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    images = torch.randn(40, 3, 16, 16)
    with torch.no_grad():
        labels = network.eval()(images).argmax(1)
    return TrainedDigits(network, images[:16].numpy(), images[16:], labels[16:])


@pytest.fixture(scope="module")
def rows(data: TrainedDigits, tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    return list(run(data, tmp_path_factory.mktemp("mixed"), losses_db=(-20.0, 1.0, 12.0)))


def test_files_cost_what_was_predicted_and_noise_is_within_the_budget(rows: list[Row]) -> None:
    uniform, near, cheap = rows
    assert [row.name for row in rows] == ["int8", "mixed-1dB", "mixed-12dB"]  # none at -20 dB
    assert all(row.as_predicted for row in rows)
    assert uniform.layers == {"8/8": 3}
    assert near.snr_db >= uniform.snr_db - 1
    assert cheap.snr_db >= uniform.snr_db - 12
    assert cheap.energy_j < uniform.energy_j
    assert cheap.energy_j <= near.energy_j <= uniform.energy_j
    assert sum(cheap.layers.values()) == 3


def test_accuracy_is_the_share_of_images_that_the_written_network_gets_right(
    data: TrainedDigits, rows: list[Row]
) -> None:
    """Labels are the float network's own answers, and 8 bits hardly change them."""
    assert rows[0].accuracy_percent >= 90
    assert all(0 <= row.accuracy_percent <= 100 for row in rows)
    wrong = data._replace(labels=(data.labels + 1) % 10)
    assert experiment.accuracy(wrong.network, (wrong.images, wrong.labels)) == 0


def test_only_an_equally_accurate_network_saves() -> None:
    cheaper = replace(ROW, name="mixed", energy_j=3e-3)
    assert saves([ROW, cheaper])
    assert not saves([ROW, replace(cheaper, accuracy_percent=98.9)])
    assert not saves([ROW, replace(cheaper, energy_j=4e-3)])


def test_table_and_document() -> None:
    cheaper = replace(ROW, name="mixed", energy_j=3e-3, layers={"8/8": 1, "4/4": 2})
    lines = table([ROW, cheaper]).splitlines()
    assert lines[-1] == "| mixed | 99.00 % | 30.0 dB | 3.000 mJ (-25.0 %) | 1 at 8/8, 2 at 4/4 |"
    found = json.loads(json.dumps(document([ROW, cheaper], 99.5)))
    assert [row["as_predicted"] for row in found["rows"]] == [True, False]


def test_the_command_writes_and_judges(
    data: TrainedDigits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The exit status says that nothing was saved where every network costs the same."""
    monkeypatch.setattr(experiment, "trained", lambda *a, **k: data)
    cheaper = replace(ROW, name="mixed", energy_j=3e-3, predicted_j=3e-3)
    for second, status in ((ROW, 1), (cheaper, 0)):
        monkeypatch.setattr(experiment, "run", lambda *a, _row=second, **k: iter([ROW, _row]))
        assert experiment.main(["-o", str(tmp_path)]) == status
    assert "| mixed |" in capsys.readouterr().out
    written = json.loads((tmp_path / "mixed.json").read_text())
    assert np.isclose(written["rows"][1]["energy_j"], 3e-3)
