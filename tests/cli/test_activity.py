"""zapdeploy simulate --activity"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Call
from tests.sim.networks import residual_network, save


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from zapdeploy.api import compile_model

    folder = tmp_path_factory.mktemp("activity")
    model = save(residual_network(), folder)
    compile_model(model, output=folder / "net.zap")
    images = np.random.default_rng(0).normal(size=(5, 3, 12, 12)).astype(np.float32)
    np.savez(folder / "x.npz", image=images)
    return folder / "net.zap"


def test_energy_by_values(zapdeploy: Call, program: Path) -> None:
    inputs = program.with_name("x.npz")
    called = zapdeploy("simulate", program, "--inputs", inputs, "--activity", "--json")
    assert called.status == 0
    found, stated = called.json["activity"], called.json["energy_per_frame_j"]
    assert (found["sample"]["frames"], found["sample"]["frames_given"]) == (2, 5)
    assert found["sample"]["standard_error_j"] > 0
    assert found["gates_zeros"] is False
    energy = found["energy_per_frame_j"]
    assert energy["constants"] == stated
    for name in ("without_gating", "with_gating"):
        cases = [energy[name][case]["value"] for case in ("zeros", "actual", "alternating")]
        assert cases == sorted(cases)
        assert energy[name]["random"]["value"] == pytest.approx(stated["value"])
    layers = found["layers"]
    assert [layer["name"] for layer in layers] == [n["name"] for n in called.json["layers"]]
    assert sum(layer["products"]["macs"] for layer in layers) == 2 * sum(
        layer["macs"] for layer in called.json["layers"]
    )
    hops = called.json["counts"]["noc_bit_hops"]
    assert found["networks"]["model"]["bits"] == 2 * hops["model"]
    assert np.shape(found["cores"][0]["macs"]) == (16, 16)


def test_tables(zapdeploy: Call, program: Path) -> None:
    inputs = program.with_name("x.npz")
    options = ("--inputs", inputs, "--activity", "--activity-frames", "5", "--level", "estimate")
    called = zapdeploy("simulate", program, *options)
    assert called.status == 0
    for text in ("5 of 5 frames counted", "all zeros", "these inputs", "layers by values"):
        assert text in called.out


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--activity",), "--activity must go with --inputs X.npz"),
        (("--activity-frames", "3"), "--activity-frames must go with --activity"),
    ],
)
def test_what_does_not_go_together(
    zapdeploy: Call, program: Path, options: tuple[str, ...], complaint: str
) -> None:
    called = zapdeploy("simulate", program, *options)
    assert called.status == 2
    assert complaint in called.err
