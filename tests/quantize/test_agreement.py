"""Every kind of file that is written: torch, ONNX Runtime and the functional simulator agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.quantize.networks import images, residual_cnn
from zapdeploy.commands.quantize_module import check_file
from zapdeploy.quantize import quantize_module, quantize_onnx
from zapdeploy.quantize.recipes import find_recipe

FORMS: tuple[dict[str, Any], ...] = (
    {"form": "qdq"},
    {"form": "qoperator"},
    {"form": "qcdq", "weights": 4, "activations": 4},
    {"form": "packed", "weights": 4, "activations": 8},
    {"form": "packed", "weights": 4, "activations": 4},
    {"form": "packed", "weights": 2, "activations": 4},
)
RECIPES: dict[str, dict[str, Any]] = {
    "gpfq": {"rounding": "gpfq"},
    "percentile": {"calibration": "percentile"},
    "short streams": {"stream": False},
    "4-bit edges": {"edges": 4},
    "powers of two": {"exponents": True},
}
FORECASTERS = ("linear-c4", "time-mix-c4", "tsmixer-c4", "tide-c4", "residual-mlp-c4")


@pytest.mark.parametrize("options", FORMS, ids=lambda o: "-".join(str(v) for v in o.values()))
def test_files_made_without_torch(tmp_path: Path, options: dict[str, Any]) -> None:
    source, target = residual_cnn(tmp_path / "net.onnx"), tmp_path / "q.onnx"
    quantize_onnx(source, target, calibration=images(8), **options)
    found = check_file(target, {"input": images(1, seed=1)["input"]})
    assert found["passed"], found["failures"]
    assert found["elements"] > 1000


@pytest.mark.parametrize("case", RECIPES)
def test_recipes_with_other_fields(tmp_path: Path, case: str) -> None:
    pytest.importorskip("brevitas")
    from tests.quantize.modules import residual_network, samples

    recipe = find_recipe("int4", **RECIPES[case])
    record = quantize_module(
        residual_network(), tmp_path / "q.onnx", samples(16, 1, 8, 8), recipe, check=check_file
    )
    assert record.agreed, record.agreement


@pytest.mark.parametrize("name", FORECASTERS)
def test_forecasters(tmp_path: Path, name: str) -> None:
    pytest.importorskip("brevitas")
    from zapdeploy.forecasters import build_model, sample_inputs

    network = build_model(name, neurons=48)
    inputs = sample_inputs(name, 12, neurons=48)
    record = quantize_module(network, tmp_path / "q.onnx", inputs, "int4", check=check_file)
    assert record.agreed, record.agreement
    written = json.loads((tmp_path / "q.json").read_text())["agreement"]
    assert {part: written[part]["passed"] for part in written} == {
        "onnxruntime": True,
        "functional": True,
    }
