"""Chips that differ from a file's in some keys."""

from __future__ import annotations

import pytest

from zapdeploy.errors import TargetError
from zapdeploy.hardware_targets import built_in_names, load_target, parse_target
from zapdeploy.hardware_targets.changes import changed_target_text, is_number, target_numbers


def changed(**changes: object) -> object:
    return parse_target(changed_target_text("northpole-sim", changes), "chip")


def test_totals_follow_the_parts() -> None:
    target = parse_target(
        changed_target_text("northpole-sim", {"core.memory": "256 KiB", "array.rows": 8}), "chip"
    )
    assert target.derived_totals()["core_memory"] == ("byte", 8 * 16 * 256 * 1024)
    assert not target.totals
    assert not target.published


def test_only_what_was_changed_differs() -> None:
    base = target_numbers(load_target("northpole-sim"))
    other = target_numbers(changed(**{"networks.model.width": "64 B/cycle"}))  # type: ignore[arg-type]
    assert {key for key in base if base[key] != other[key]} == {"networks.model.width"}
    assert other["networks.model.width"] == (64.0, 64.0, 64.0, False)  # known for sure


def test_text_and_lists_can_change() -> None:
    target = changed(**{"core.weights": "resident", "core.matrix_unit.widths": [8]})
    assert target.core.weights == "resident"  # type: ignore[attr-defined]
    assert target.core.matrix_unit.widths == (8,)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", built_in_names())
def test_nothing_changed_is_the_same_chip(name: str) -> None:
    assert target_numbers(parse_target(changed_target_text(name, {}), name)) == target_numbers(
        load_target(name)
    )


def test_units_may_be_written_in_any_way() -> None:
    one, other = (
        target_numbers(changed(**{"core.memory": text}))  # type: ignore[arg-type]
        for text in ("1 MiB", "1024 KiB")
    )
    assert one == other


@pytest.mark.parametrize("name", built_in_names())
def test_every_number_of_a_chip_is_one(name: str) -> None:
    keys = [key for key, _ in load_target(name).figures()]
    kept = [key for key in keys if not key.startswith("totals.")]
    assert all(is_number(key) for key in kept)
    assert not is_number("core.weights")


@pytest.mark.parametrize(
    "key", ["core.memry", "core", "name", "sources.SCI", "energy.mac_8bit.low", "totals.wires"]
)
def test_a_key_that_no_file_has(key: str) -> None:
    with pytest.raises(TargetError, match=r"^target key must be one that a chip's file has"):
        is_number(key)
