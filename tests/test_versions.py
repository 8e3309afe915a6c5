"""Every format that is written and read again: one line for a version too old or too new."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.examples import PretendedMachine, cpu_request, write_network
from tests.cli.conftest import Call
from tests.cli.conftest import model as model  # a fixture
from tests.cli.conftest import zapdeploy as zapdeploy  # a fixture
from tests.recordings import examples as recordings
from zapdeploy import hardware_targets
from zapdeploy.benchmarks import run_benchmark
from zapdeploy.benchmarks.results.results import load_result
from zapdeploy.errors import DataError

TARGETS = Path(hardware_targets.__file__).parent
OTHERS = [0, 99, "2", None, True]


def refused(zapdeploy: Call, *call: object) -> str:
    """What a call that ends with exit status 2 says in its one line."""
    called = zapdeploy(*call)
    assert (called.status, called.out) == (2, "")
    assert called.err.count("\n") == 1
    return called.err


@pytest.mark.parametrize("version", [0, 3, 5, 2**32 - 1])
def test_programs(zapdeploy: Call, model: Path, tmp_path: Path, version: int) -> None:
    path = tmp_path / "model.zap"
    compiling = ("compile", model, "--target", "tile64-sim", "-o", path)
    assert zapdeploy(*compiling).status == 0
    raw = bytearray(path.read_bytes())
    raw[8:12] = struct.pack("<I", version)
    path.write_bytes(raw)
    said = refused(zapdeploy, "simulate", path)
    assert f"must have format version 4, not {version}; compile the model again" in said
    assert zapdeploy(*compiling).status == zapdeploy("simulate", path).status == 0


@pytest.mark.parametrize("chip", ["tile64-sim", "loihi2-sim"])
@pytest.mark.parametrize("version", ["0", "3", "'2'", "1.0", "true"])
def test_targets(zapdeploy: Call, tmp_path: Path, chip: str, version: str) -> None:
    path = tmp_path / "chip.toml"
    text = next(TARGETS.rglob(f"{chip}.toml")).read_text()
    path.write_text(re.sub(r"(?m)^schema = \d", f"schema = {version}", text))
    shown = version.replace("true", "True")
    said = refused(zapdeploy, "targets", "show", path)
    assert f"schema must be 1 or 2, not {shown}; update zapdeploy, or write the file by" in said


def test_a_target_that_is_written_anew_is_read(zapdeploy: Call, tmp_path: Path) -> None:
    made = zapdeploy("targets", "init", "chip", "-o", tmp_path / "chip.toml")
    assert made.status == zapdeploy("targets", "show", tmp_path / "chip.toml").status == 0


def results(folder: Path) -> Path:
    """A folder of results of one small network."""
    request = cpu_request(str(write_network(folder / "net.onnx")), precisions=("fp32",))
    run_benchmark(request, folder / "out", tools=PretendedMachine(lambda c: 0.01).tools())
    return folder / "out"


def with_schema(path: Path, schema: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": schema}))


@pytest.mark.parametrize("schema", OTHERS)
def test_results(zapdeploy: Call, tmp_path: Path, schema: Any) -> None:
    folder = results(tmp_path)
    common = dict(load_result(folder).common)
    with_schema(folder / "benchmark.json", schema)
    newer = ", of a newer zapdeploy" if schema == 99 else ""
    said = refused(zapdeploy, "report", folder, "-o", tmp_path / "report.html")
    assert f"benchmark.json must have schema 1, not {schema!r}{newer} ({folder}); read" in said
    assert not (tmp_path / "report.html").exists()
    with_schema(folder / "benchmark.json", 1)
    assert dict(load_result(folder).common) == common


def test_results_from_before_versions_were_written(tmp_path: Path) -> None:
    folder = results(tmp_path)
    path = folder / "benchmark.json"
    document = json.loads(path.read_text())
    assert document.pop("schema") == 1
    path.write_text(json.dumps(document))
    assert load_result(folder).rows


@pytest.mark.parametrize("name", ["rows.jsonl", "not_run.jsonl"])
def test_rows_of_other_fields(tmp_path: Path, name: str) -> None:
    folder = results(tmp_path)
    (folder / name).write_text(json.dumps({"key": "a", "speed": 1}) + "\n")
    with pytest.raises(DataError, match=r"must have the fields of this version, not .*key 'a'\)"):
        load_result(folder)


@pytest.mark.parametrize("schema", OTHERS)
def test_forecasters(zapdeploy: Call, tmp_path: Path, schema: Any) -> None:
    training = pytest.importorskip("tests.forecasters.test_training")
    training.run(tmp_path / "made")
    path = tmp_path / "made" / "forecaster.json"
    assert json.loads(path.read_text())["schema"] == 1
    with_schema(path, schema)
    newer = ", of a newer zapdeploy" if schema == 99 else ""
    data = recordings.folder(tmp_path)
    call = ("evaluate", tmp_path / "made", "--data", data)
    assert f"forecaster.json must have schema 1, not {schema!r}{newer} (" in refused(
        zapdeploy, *call
    )


def test_forecasters_from_before_versions_were_written(tmp_path: Path) -> None:
    training = pytest.importorskip("tests.forecasters.test_training")
    training.run(tmp_path)
    path = tmp_path / "forecaster.json"
    document = json.loads(path.read_text())
    del document["schema"]
    path.write_text(json.dumps(document))
    assert training.load_forecaster(tmp_path).spec.name == "linear-c4"


@pytest.mark.parametrize("state", ['{"steps": 3}', "[]", "half", '{"history": 3}'])
def test_what_a_training_goes_on_with(tmp_path: Path, state: str) -> None:
    training = pytest.importorskip("tests.forecasters.test_training")
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    training.run(tmp_path)
    path = tmp_path / "resume.safetensors"
    with safe_open(path, framework="pt") as file:
        notes = file.metadata()
    save_file(load_file(path), path, {**notes, "state": state})
    with pytest.raises(DataError, match=r"resume file must be of this version, not otherwise: "):
        training.run(tmp_path)
    path.unlink()  # --restart: as if there were none
    training.run(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    pytest.importorskip("pyarrow")
    from zapdeploy.explore.store import Store

    found = Store(tmp_path)
    found.add([{"digest": "a", "status": "done", "cycles": 3.0}])
    return found


def add_file(store: Any, name: str, rows: list[dict[str, Any]]) -> Path:
    import pyarrow
    import pyarrow.parquet

    path: Path = store.folder / f"{name}.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def test_explorations_of_other_versions_lie_in_one_folder(store: Any) -> None:
    add_file(store, "older", [{"digest": "b", "status": "done"}])
    newer = add_file(store, "newer", [{"digest": "c", "status": "done", "to come": 1.5}])
    for number in range(64):
        store.add([{"digest": f"n{number}", "status": "done"}])
    rows = store.rows()
    assert rows["b"]["cycles"] is None
    assert rows["c"]["to come"] == 1.5
    store.join()
    assert newer.exists()  # what this version does not know is not lost
    assert len(list(store.folder.glob("*.parquet"))) == 3


@pytest.mark.parametrize("row", [{"id": "a"}, {"digest": 3}, {"digest": None}])
def test_explorations_without_digests(store: Any, row: dict[str, Any]) -> None:
    path = add_file(store, "other", [row])
    with pytest.raises(DataError, match="results must stand under digests, in a column of text"):
        store.rows()
    path.unlink()  # as the message says
    assert set(store.rows()) == {"a"}


@pytest.mark.parametrize("kept", [0, 3, 30, 200])
def test_explorations_that_are_damaged(store: Any, kept: int) -> None:
    path = add_file(store, "other", [{"digest": "b", "status": "done"}])
    raw = path.read_bytes()
    path.write_bytes(raw[:kept].ljust(len(raw) - 4, b"\xff") + raw[-4:])
    with pytest.raises(DataError, match=r"results must be a Parquet file: .*; remove it"):
        store.rows()
    path.unlink()
    assert set(store.rows()) == {"a"}
