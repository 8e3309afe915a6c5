"""A short run of the fuzzer: every kind of file, damaged as a few seeds say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzzing import KINDS, Change, changed, drawn, fuzz, shrunk, sound_files

SEEDS = range(1000, 1004)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_one_line(tmp_path: Path, kind: str) -> None:
    sound = sound_files(tmp_path)
    for seed in SEEDS:
        assert fuzz(kind, seed, sound, tmp_path) is None


def test_changes_follow_from_the_seed() -> None:
    content = bytes(range(200))
    assert drawn(content, 5) == drawn(content, 5) != drawn(content, 6)
    assert changed(content, ((3, 9), (10, -1))) == bytes([0, 1, 2, 9, 4, 5, 6, 7, 8, 9])


def test_what_fails_is_shrunk() -> None:
    changes: tuple[Change, ...] = ((1, 1), (2, 2), (3, 3), (4, -1))
    assert shrunk(changes, lambda kept: "bad" if (3, 3) in kept else "") == ((3, 3),)
