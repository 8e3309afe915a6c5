"""ResNet-50 by every recipe: minutes, so not among the fast tests."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("brevitas")
pytest.importorskip("PIL")

from zapdeploy.commands.quantize_module import check_file
from zapdeploy.forecasters import build_model, sample_inputs
from zapdeploy.quantize import RECIPES, Prepared, build, prepare_module, write_module

LEAST_DB = {"int8": 22, "w4a8": 14, "int4": 10, "w2a4": 5}


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare_module(build_model("resnet50"), sample_inputs("resnet50", 8))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_resnet50_agrees_and_fits(prepared: Prepared, tmp_path: Path, recipe) -> None:  # type: ignore[no-untyped-def]
    from zapdeploy.api import compile_model

    target = tmp_path / "resnet50.onnx"
    record = write_module(prepared, build(prepared, recipe), target, check=check_file)
    assert record.agreed, [part for part in record.agreement.values() if not part["passed"]]
    assert record.accuracy["output_snr_db"] > LEAST_DB[recipe.name]
    assert compile_model(target, batch=1).fits
    if recipe.weights == 4:
        assert record.result_bytes < 15e6
