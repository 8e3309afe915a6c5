from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from zapdeploy.errors import DataError, UsageError
from zapdeploy.files import MOST_TEXT_BYTES, atomic_write, protecting, read_text, require_regular


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
    assert str(error.value) == (
        f"output '{path}' must be a regular file, not a folder; give another name"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_a_text_path_will_do(tmp_path: Path) -> None:
    path = os.fspath(tmp_path / "out.bin")
    with atomic_write(path) as file:  # type: ignore[arg-type]
        file.write(b"x")
    assert Path(path).read_bytes() == b"x"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_the_rights_of_a_file_stay(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "out.bin"
    path.touch()
    path.chmod(mode)
    with atomic_write(path) as file:
        file.write(b"x")
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with atomic_write(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("name", ["/dev/null", "pipe"])
def test_what_is_no_file_is_not_replaced(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "pipe":
        os.mkfifo(path)
    before = path.stat().st_mode
    with pytest.raises(UsageError, match=r"must be a regular file, not a (device|pipe); give"):
        atomic_write(path).__enter__()
    assert path.stat().st_mode == before


@pytest.mark.parametrize("through", ["itself", "symbolic link", "hard link"])
def test_an_input_is_not_written_over(tmp_path: Path, through: str) -> None:
    """Under whatever name; another name, as the message advises, works."""
    path, other = tmp_path / "in.bin", tmp_path / "other"
    path.write_bytes(b"input")
    if through == "symbolic link":
        other.symlink_to(path)
    elif through == "hard link":
        other.hardlink_to(path)
    output = path if through == "itself" else other
    with protecting([str(path), "--option", "no\0name"]):
        with pytest.raises(UsageError) as error:
            atomic_write(output).__enter__()
        assert str(error.value) == (
            f"output '{output}' must not be a file that is read; give another name"
        )
        with atomic_write(tmp_path / "new") as file:
            file.write(b"output")
    assert path.read_bytes() == b"input"
    with atomic_write(path) as file:  # outside the call it is a file like any other
        file.write(b"new")


def test_a_full_disk_is_one_line() -> None:
    path = Path("/dev/full")
    if not path.exists():
        pytest.skip("no /dev/full")
    with pytest.raises(UsageError, match="must be writable: No space left on device"):
        _write_until_full()


def _write_until_full() -> None:
    with atomic_write(Path("/dev/shm/zapdeploy-full")) as file:
        del file
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    """Once it is a minute old; what a process is writing stays."""
    path = tmp_path / "out.bin"
    process = os.fork()
    if not process:
        os._exit(0)
    os.waitpid(process, 0)
    dead, living = tmp_path / f".out.bin.{process}.ab", tmp_path / f".out.bin.{os.getpid()}.ab"
    for left in (dead, living):
        left.touch()
        os.utime(left, (0, 0))
    with atomic_write(path) as file:
        file.write(b"x")
    assert {p.name for p in tmp_path.iterdir()} == {"out.bin", living.name}


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    pipe, big = tmp_path / "pipe", tmp_path / "big"
    os.mkfifo(pipe)
    with big.open("wb") as file:
        file.truncate(MOST_TEXT_BYTES + 1)
    for path, reason in (
        (pipe, "must be a regular file, not a pipe"),
        (tmp_path, "must be a regular file, not a folder"),
        (Path("/dev/zero"), "must be a regular file, not a device"),
        (tmp_path / "none", "must be readable: No such file or directory"),
        (tmp_path / "zero\0byte", "must be readable: no such name"),
        (big, f"must have at most {MOST_TEXT_BYTES:,} bytes, not {MOST_TEXT_BYTES + 1:,}"),
    ):
        with pytest.raises(DataError) as error:
            read_text(path, DataError, "file")
        assert str(error.value) == f"file '{path}' {reason}"
    require_regular(big, DataError, "file")


def test_an_interruption_right_after_the_file_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between making the temporary file and writing into it, too, nothing stays."""
    close = os.close

    def interrupted(descriptor: int) -> None:
        close(descriptor)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "close", interrupted)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / "out.bin").__enter__()
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())
