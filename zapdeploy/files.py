"""Reading files that may be anything, and writing files so that nobody ever sees half of one."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO

from zapdeploy.errors import UsageError, ZapdeployError

MOST_TEXT_BYTES = 16 << 20  # descriptions, not data
_STALE_AFTER_S = 60.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_Identity = tuple[int, int]  # of a file: its device and its number there
_protected: ContextVar[frozenset[_Identity]] = ContextVar("protected", default=frozenset())


def require_regular(
    path: Path, error: type[ZapdeployError], what: str, most_bytes: int | None = None
) -> None:
    """Raise `error` for what is no regular file: to open a pipe or a device may never end.

    `what` is the file's part in messages, such as "target file".
    """
    try:
        found = Path(path).stat()
    except (OSError, ValueError) as reason:  # ValueError: a zero byte in the name
        text = (reason.strerror if isinstance(reason, OSError) else "") or "no such name"
        raise error(f"{what} '{path}' must be readable: {text}") from None
    if not stat.S_ISREG(found.st_mode):
        raise error(f"{what} '{path}' must be a regular file, not {_kind(found.st_mode)}")
    if most_bytes is not None and found.st_size > most_bytes:
        raise error(
            f"{what} '{path}' must have at most {most_bytes:,} bytes, not {found.st_size:,}"
        )


def read_text(path: Path, error: type[ZapdeployError], what: str) -> str:
    """A description, as UTF-8 text."""
    require_regular(path, error, what, MOST_TEXT_BYTES)
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as reason:
        raise error(f"{what} '{path}' must be readable: {reason.strerror}") from None
    except UnicodeDecodeError:
        raise error(f"{what} '{path}' must be UTF-8 text") from None


def _kind(mode: int) -> str:
    return next((name for test, name in _KINDS if test(mode)), "something else")


@contextmanager
def protecting(paths: Iterable[str]) -> Iterator[None]:
    """Inside the block, no file that one of these paths leads to is written over."""
    found = set()
    for path in paths:
        try:
            there = os.stat(path)
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(there.st_mode):
            found.add((there.st_dev, there.st_ino))
    token = _protected.set(frozenset(found))
    try:
        yield
    finally:
        _protected.reset(token)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its name when the block ends well.

    On any error it disappears, and what was at `path` stays. A symbolic link is followed, and the
    rights of a file that is there are kept. Raises UsageError for what cannot be written: a folder,
    a device, an input of the same call, a full disk.
    """
    path = Path(path)
    try:
        target = path.resolve() if path.is_symlink() else path
        mode = _mode_of(target, path)
        _remove_stale(target)
    except (OSError, ValueError, RuntimeError) as error:
        raise _unwritable(path, error) from None
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:  # from here on whatever ends the process politely takes the file with it
        _create(temporary, path)
        yield temporary
        temporary.chmod(mode)
        temporary.replace(target)
    except OSError as error:
        if error.errno in _FULL or error.filename2 is not None:
            raise _unwritable(path, error) from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _create(temporary: Path, path: Path) -> None:
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from None


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that takes its name only when it is complete; on any error it disappears."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        yield file


def _mode_of(target: Path, path: Path) -> int:
    """The rights of the file that is there, or those that a new one gets."""
    try:
        found = target.stat()
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(
            f"output '{path}' must be a regular file, not {_kind(found.st_mode)}; give another name"
        )
    if (found.st_dev, found.st_ino) in _protected.get():
        raise UsageError(f"output '{path}' must not be a file that is read; give another name")
    return stat.S_IMODE(found.st_mode)


def _remove_stale(target: Path) -> None:
    """What a process that was killed has left behind of this file."""
    prefix = f".{target.name}."
    for entry in os.scandir(target.parent):
        if not entry.name.startswith(prefix):
            continue
        process, dot, _ = entry.name.removeprefix(prefix).partition(".")
        if not dot or not process.isdecimal() or _lives(int(process)):
            continue
        with_age = time.time() - entry.stat(follow_symlinks=False).st_mtime
        if with_age > _STALE_AFTER_S:
            Path(entry.path).unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _unwritable(path: Path, error: Exception) -> UsageError:
    reason = error.strerror if isinstance(error, OSError) else "no such name"
    return UsageError(f"output '{path}' must be writable: {reason or error}")
