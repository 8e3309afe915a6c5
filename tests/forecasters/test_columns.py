"""What a forecaster was trained on: kept in its folder and in files made from it, and compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")

from tests.recordings import examples as recordings
from zapdeploy.errors import DataError, ModelError, UsageError
from zapdeploy.forecasters import ForecasterSpec, Recording, TrainingOptions, export_model, train
from zapdeploy.forecasters.export import read_notes
from zapdeploy.forecasters.folder import read_description
from zapdeploy.recordings.columns import (
    KEY,
    brief_columns,
    check_columns,
    columns_notes,
    listed_columns,
    noted_columns,
)


def said_of_columns(path: Path) -> dict[str, str]:
    """What a file's metadata says of columns."""
    return {key: text for key, text in read_notes(path).items() if key == KEY}


LIST = (9, 3, 12, 5, 0)
QUICK = TrainingOptions(steps=2, validate_every=2)


def listed(*columns: int) -> Recording:
    return replace(recordings.small(len(columns)), columns=np.array(columns))


def test_the_first_so_many_are_no_list() -> None:
    assert listed_columns(None) is None
    assert listed_columns(np.arange(5)) is None
    assert listed_columns(np.array([1, 0])) == (1, 0)
    assert columns_notes(None) == {}


def test_in_few_words() -> None:
    """Short for many, and another text for another order."""
    many = tuple(range(70_000, 0, -1))
    assert brief_columns(None) == "none"
    assert brief_columns((9, 3, 12)) == "9,3,12"
    assert brief_columns(many).startswith("70000,69999,69998,... (70000 columns, SHA-256 ")
    assert brief_columns(many) != brief_columns((*many[:-2], 1, 2))


def test_the_folder_and_its_onnx_file_say_the_columns(tmp_path: Path) -> None:
    spec = ForecasterSpec("linear-c4", 5)
    train(spec, listed(*LIST), tmp_path / "net", QUICK)
    assert read_description(tmp_path / "net")[0] == replace(spec, columns=LIST)
    path = export_model("linear-c4", tmp_path / "net.onnx", checkpoint=tmp_path / "net")
    assert said_of_columns(path) == {KEY: "9,3,12,5,0"}
    assert noted_columns(said_of_columns(path), "net.onnx") == LIST


@pytest.mark.parametrize("recording", [recordings.small(), listed(*range(5))])
def test_without_a_list_nothing_is_said(tmp_path: Path, recording: Recording) -> None:
    """The same description as ever, even where `spec` is of another training's columns."""
    train(ForecasterSpec("linear-c4", 5, columns=LIST), recording, tmp_path / "net", QUICK)
    document = json.loads((tmp_path / "net" / "forecaster.json").read_text())
    plain = {"name": "linear-c4", "neurons": 5, "width": None, "revin": True, "nlinear": False}
    assert document["forecaster"] == document["training"]["forecaster"] == plain
    path = export_model("linear-c4", tmp_path / "net.onnx", checkpoint=tmp_path / "net")
    assert said_of_columns(path) == {}


def test_a_training_goes_on_only_with_its_own_columns(tmp_path: Path) -> None:
    spec = ForecasterSpec("linear-c4", 5)
    train(spec, listed(*LIST), tmp_path, QUICK)
    longer = replace(QUICK, steps=4)
    assert train(spec, listed(*LIST), tmp_path, longer).steps == 4
    for other in (listed(*LIST[::-1]), listed(*range(5))):
        with pytest.raises(UsageError, match=r"its columns is 9,3,12,\.\.\. \(5 columns, SHA-256 "):
            train(spec, other, tmp_path, longer)


@pytest.mark.parametrize(
    ("text", "found"),
    [("9,x", "ValueError: invalid literal"), ("9,3", "ValueError: 2 columns for 5 neurons")],
)
def test_a_damaged_description(tmp_path: Path, text: str, found: str) -> None:
    train(ForecasterSpec("linear-c4", 5), listed(*LIST), tmp_path, QUICK)
    path = tmp_path / "forecaster.json"
    path.write_text(path.read_text().replace('"9,3,12,5,0"', f'"{text}"'))
    with pytest.raises(DataError, match=f"must describe a forecaster, not {found}"):
        read_description(tmp_path)


def test_a_damaged_note() -> None:
    with pytest.raises(ModelError) as caught:
        noted_columns({KEY: "9;3"}, "net.onnx")
    assert caught.value.on_command_line == (
        "metadata 'zapdeploy.columns' must be whole numbers with commas between, not unreadable: "
        "invalid literal for int() with base 10: '9;3' (net.onnx); export the model again"
    )


def test_other_columns_are_refused() -> None:
    """Another order is another list; where one side does not say, there is nothing to compare."""
    check_columns((9, 3), np.array([9, 3]), "net")
    check_columns(None, np.array([9, 3]), "net")
    check_columns((9, 3), None, "net")
    with pytest.raises(DataError) as caught:
        check_columns((9, 3), np.array([3, 9]), "net")
    assert caught.value.on_command_line == (
        "columns must be those trained on, 9,3, not 3,9 (net); leave --neurons out, or give that "
        "list: --neuron-list FILE"
    )
