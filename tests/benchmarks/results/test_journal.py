"""The journal on disk: cut anywhere, it keeps what was whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from zapdeploy.benchmarks.results.journal import Journal, locked
from zapdeploy.errors import DataError, UsageError

ENTRIES = [{"key": f"k{index}", "value": index, "text": "ü\n"} for index in range(3)]


def _written(folder: Path) -> Journal:
    journal = Journal(folder / "rows.jsonl")
    for entry in ENTRIES:
        journal.append(entry)
    return journal


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    assert list(_written(tmp_path).read().values()) == ENTRIES


def test_later_entry_of_a_key_counts(tmp_path: Path) -> None:
    journal = _written(tmp_path)
    journal.append({"key": "k1", "value": "new"})
    found = journal.read()
    assert list(found) == ["k0", "k1", "k2"]
    assert found["k1"]["value"] == "new"


def test_file_cut_at_any_byte_keeps_every_whole_line(tmp_path: Path) -> None:
    journal = _written(tmp_path)
    content = journal.path.read_bytes()
    for cut in range(len(content) + 1):
        journal.path.write_bytes(content[:cut])
        whole = content[:cut].count(b"\n")
        assert list(journal.read().values()) == ENTRIES[:whole]
        journal.repair()
        journal.append({"key": "after", "value": cut})
        assert list(journal.read()) == [*(f"k{i}" for i in range(whole)), "after"]


def test_missing_file_is_empty(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "rows.jsonl")
    journal.repair()
    assert journal.read() == {}


@pytest.mark.parametrize("line", [b"not json", b"[1]", b'{"no": "key"}', b"\xff"])
def test_damage_before_the_end_is_an_error(tmp_path: Path, line: bytes) -> None:
    journal = _written(tmp_path)
    journal.path.write_bytes(line + b"\n" + journal.path.read_bytes())
    with pytest.raises(DataError, match=r"line must be a JSON object with a key, not .*line 1\)"):
        journal.read()


def test_numbers_that_json_cannot_hold_are_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "rows.jsonl")
    with pytest.raises(ValueError, match="not JSON compliant"):
        journal.append({"key": "k", "value": float("nan")})
    assert journal.read() == {}


def test_folder_is_one_runs_alone(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(UsageError, match="must be used by one run at a time"),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path):
        pass
