from __future__ import annotations

from pathlib import Path

from tests.coverage_of_errors import missed, raises

TEXT = """
def refuse(x):
    if x:
        raise DataError("first")
    return UsageError(
        "second"
    )
    raise ValueError("of Python's own")
"""


def test_places_where_errors_are_made() -> None:
    assert sorted(raises(TEXT)) == [(4, "DataError"), (5, "UsageError")]


def test_what_did_not_run_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(TEXT)
    document = {"files": {str(path): {"executed_lines": [2, 3, 5]}}}
    assert missed(document) == ([f"{path}:4: DataError"], 2)
