"""The digits experiment runs: a short version of what the documentation shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("brevitas")
pytest.importorskip("sklearn")

from zapdeploy.benchmarks.experiments.digits import run
from zapdeploy.quantize.recipes import find_recipe


def test_a_short_run_writes_files_and_table(tmp_path: Path) -> None:
    recipes = [find_recipe("int8"), find_recipe("int4", rounding="nearest")]
    rows = run(tmp_path, recipes=recipes, steps=2, epochs=1)
    assert [row.recipe for row in rows] == ["int8", "int4"]
    assert all(row.agreed for row in rows)
    assert abs(rows[0].after_training - rows[0].float32) < 3
    assert len(json.loads((tmp_path / "digits.json").read_text())["rows"]) == 2
    assert {path.suffix for path in tmp_path.iterdir()} == {".onnx", ".json"}


@pytest.mark.slow
def test_the_whole_run_keeps_to_the_limits(tmp_path: Path) -> None:
    rows = {row.recipe: row for row in run(tmp_path)}
    assert rows["int8"].after_training >= rows["int8"].float32 - 0.3
    assert (rows["int4"].trained or 0) >= rows["int4"].float32 - 1
