"""Axes as a spec gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapdeploy.explore.axes import Range, combinations, read_axes


def values(axes: dict[str, Any], linked: list[Any] | None = None) -> dict[str, list[Any]]:
    found = read_axes({"model": "a", **axes}, linked or [], Path())
    return {
        name: [step[i] for step in axis.values]
        for axis in found
        for i, name in enumerate(axis.names)
    }


def test_keys_of_a_chip_are_tables_in_tables() -> None:
    given = {"core": {"memory": ["1 KiB", "2 KiB"]}, "networks.model.width": "8 B/cycle"}
    found = values(given)
    assert found["core.memory"] == ["1 KiB", "2 KiB"]
    assert found["networks.model.width"] == ["8 B/cycle"]


def test_ranges() -> None:
    given = {
        "core": {"memory": {"from": "64 KiB", "to": "1 MiB", "steps": 5, "scale": "log"}},
        "batch": {"from": 1, "to": 5, "steps": 3},
        "energy": {"calibration": {"from": 0, "to": 1, "steps": 3}},
    }
    found = values(given)
    assert found["core.memory"] == ["64 KiB", "128 KiB", "256 KiB", "512 KiB", "1024 KiB"]
    assert found["batch"] == [1, 3, 5]
    assert found["energy.calibration"] == [0.0, 0.5, 1.0]


@given(
    low=st.floats(1e-3, 1e3), factor=st.floats(1.01, 1e3), share=st.floats(0, 1), log=st.booleans()
)
def test_a_range_stays_within_its_ends(low: float, factor: float, share: float, log: bool) -> None:
    span = Range(low, low * factor, "", log, is_whole=False)
    found = span.at(share)
    assert isinstance(found, float)
    assert low * (1 - 1e-9) <= found <= low * factor * (1 + 1e-9)


def test_linked_names_move_together() -> None:
    linked = [{"core": {"memory": ["1 KiB", "2 KiB"]}, "batch": [1, 2]}]
    axes = read_axes({"model": ["a", "b"]}, linked, Path())
    assert combinations(axes) == 4
    assert axes[1].values == (("1 KiB", 1), ("2 KiB", 2))
    again = read_axes({"model": "a"}, [{"batch": [1, 2, 3], "chips": [1, 1, 2]}], Path())
    assert again[1].values == ((1, 1), (2, 1), (3, 2))  # a value may come back


def test_patterns_and_files_lie_beside_the_spec(tmp_path: Path) -> None:
    for name in ("b.onnx", "a.onnx"):
        (tmp_path / name).write_bytes(b"")
    (axis,) = read_axes({"model": ["*.onnx", "resnet50", "a.onnx"]}, [], tmp_path)
    files = [str(tmp_path / name) for name in ("a.onnx", "b.onnx")]
    assert [value for (value,) in axis.values] == [*files, "resnet50"]


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"batch": [0]}, r"axis batch must have whole numbers from 1, not 0"),
        ({"batch": []}, r"axis batch must have a value, not none"),
        ({"batch": [True]}, r"axis batch must have whole numbers from 1, not True"),
        ({"precision": [8]}, r"axis precision must have texts, not 8"),
        ({"frame_rate": [-1]}, r"axis frame_rate must have numbers above 0 \(Hz\), not -1"),
        ({"bach": [1]}, r"axis bach must be one of model, precision, .* or a key of a chip's file"),
        ({"core": {"memory": {"from": "1 KiB"}}}, r"must have from, to, steps and scale"),
        ({"batch": {"from": 4, "to": 1, "steps": 2}}, r"axis batch must rise, not 4 to 1"),
        (
            {"batch": {"from": 1, "to": 9, "steps": 1}},
            r"axis batch must have 2 to 100,000 steps, not 1",
        ),
        (
            {"core": {"memory": {"from": "1 KiB", "to": "9 s", "steps": 2}}},
            r"axis core.memory: its end must be a quantity in KiB, not '9.0 s'",
        ),
        (
            {"core": {"memory": {"from": "0 KiB", "to": "9 KiB", "steps": 2, "scale": "log"}}},
            r"must rise from above 0",
        ),
        ({"model": ["*.nothing"]}, r"axis model must match a file, not '\*.nothing'"),
    ],
)
def test_what_is_wrong_is_named(axes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        values(axes)


def test_wrong_links() -> None:
    with pytest.raises(ValueError, match="linked names must have equally many values, not batch 1"):
        values({}, [{"batch": [1], "chips": [1, 2]}])
    with pytest.raises(ValueError, match="axes must each be given once, not twice: batch"):
        values({"batch": [1]}, [{"batch": [1]}])
    with pytest.raises(ValueError, match="axes must name a model"):
        read_axes({"batch": [1]}, [], Path())
