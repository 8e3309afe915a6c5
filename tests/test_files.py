from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from zapdeploy.errors import UsageError
from zapdeploy.files import atomic_write


def test_the_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    with atomic_write(path) as file:
        file.write(b"half")
        assert not path.exists()
        file.write(b" and half")
    assert path.read_bytes() == b"half and half"
    assert [p.name for p in tmp_path.iterdir()] == ["out.bin"]


def test_everybody_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    with atomic_write(path) as file:
        file.write(b"x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_file(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")

    def fail_in_the_middle() -> None:
        with atomic_write(path) as file:
            file.write(b"new")
            raise failure

    with pytest.raises(failure):
        fail_in_the_middle()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.bin"]


def test_the_old_file_is_readable_until_the_end(tmp_path: Path) -> None:
    """A reader that has the file open or mapped keeps the old bytes."""
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        with atomic_write(path) as file:
            file.write(b"new")
            assert path.read_bytes() == b"old"
        assert path.read_bytes() == b"new"
        assert reader.read() == b"old"


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "out.bin"
    with pytest.raises(UsageError) as error, atomic_write(path):
        pass
    assert str(error.value) == f"output '{path}' must be writable: No such file or directory"


def test_a_folder_in_the_way_is_an_error(tmp_path: Path) -> None:
    """The name is taken by a folder: nothing can be put in its place, and nothing is left over."""
    path = tmp_path / "taken"
    path.mkdir()
    with pytest.raises(UsageError) as error, atomic_write(path) as file:
        file.write(b"x")
    assert str(error.value) == f"output '{path}' must be writable: Is a directory"
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_a_text_path_will_do(tmp_path: Path) -> None:
    path = os.fspath(tmp_path / "out.bin")
    with atomic_write(path) as file:  # type: ignore[arg-type]
        file.write(b"x")
    assert Path(path).read_bytes() == b"x"
