"""The .zap file: Programs one after the other, and a header that says what they are together.

Layout (little endian):

    0   8 bytes   magic "ZAPDEPLY"
    8   uint32    format version, 4
    12  uint32    0
    16  32 bytes  SHA-256 of the header: the file's digest
    48  uint64    length of the header in bytes
    56  uint64    0
    64  sections  a Program each (see `section`), each at a multiple of 64
    ..  header    JSON, UTF-8, keys sorted, up to the end; `sections` says where each Program lies

The header has the digests of the sections, so that its own covers all of the file. A section is
read, and checked, when it is asked for: no more than one has to be in memory.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, overload

from zapdeploy.compile.program.program import Program
from zapdeploy.compile.program.section import (
    ALIGNMENT,
    WRONG,
    damaged,
    decode_program,
    encode_program,
    incomplete,
)
from zapdeploy.errors import ProgramError
from zapdeploy.files import require_regular
from zapdeploy.typed import adapter

MAGIC = b"ZAPDEPLY"
FORMAT_VERSION = 4
_PREFIX = struct.Struct("<8sII32sQQ")
_START = struct.Struct("<8sI")


@dataclass(frozen=True)
class Section:
    """Where a Program lies in the file, and what its bytes add up to."""

    at: int
    length: int
    digest: str

    @property
    def end(self) -> int:
        """Where the next one starts."""
        return self.at + self.length + -self.length % ALIGNMENT


class Writer:
    """Writes Programs one by one, so that none has to be kept, and then what they are together."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._sections = file, list[Section]()
        file.write(bytes(_PREFIX.size))

    def add(self, program: Program) -> str:
        """Write a section; the Program's digest."""
        chunks, digest = encode_program(program)
        section = Section(self._file.tell(), sum(map(len, chunks)), digest)
        self._file.writelines((*chunks, bytes(section.end - section.at - section.length)))
        self._sections.append(section)
        return digest

    def end(self, described: Mapping[str, Any]) -> str:
        """Write a header that says this, and where the sections lie; the file's digest."""
        header, digest = _header(described, self._sections)
        self._file.write(header)
        self._file.seek(0)
        self._file.write(_PREFIX.pack(MAGIC, FORMAT_VERSION, 0, digest, len(header), 0))
        return digest.hex()


def file_digest(described: Mapping[str, Any], programs: Iterable[Program]) -> str:
    """The digest that a file of these would have."""
    sections: list[Section] = []
    for program in programs:
        chunks, digest = encode_program(program)
        at = sections[-1].end if sections else _PREFIX.size
        sections.append(Section(at, sum(map(len, chunks)), digest))
    return _header(described, sections)[1].hex()


def _header(described: Mapping[str, Any], sections: Sequence[Section]) -> tuple[bytes, bytes]:
    """The header's bytes and their SHA-256."""
    header = {**described, "sections": [asdict(section) for section in sections]}
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    return text, hashlib.sha256(text).digest()


@dataclass(frozen=True, eq=False)
class StoredPrograms(Sequence[Program]):
    """The Programs in a file; each is decoded whenever it is asked for, and not kept.

    unplanned: sections that hold a network without layers of its own.
    """

    raw: memoryview
    path: Path
    sections: tuple[Section, ...]
    unplanned: tuple[Section, ...] = ()

    def __len__(self) -> int:
        return len(self.sections)

    @overload
    def __getitem__(self, index: int) -> Program: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Program]: ...
    def __getitem__(self, index: int | slice) -> Program | Sequence[Program]:
        if isinstance(index, slice):
            return replace(self, sections=self.sections[index])
        _let_go(self.raw)
        section = self.sections[index]
        end = section.at + section.length
        if any(self.raw[end : section.end]):
            raise damaged(self.path)
        part, planned = self.raw[section.at : end], section not in self.unplanned
        return decode_program(part, section.digest, self.path, planned=planned)

    def __iter__(self) -> Iterator[Program]:
        return (self[index] for index in range(len(self)))


def _let_go(raw: memoryview) -> None:
    """Give back the memory of what was read before; it is read again when it is looked at."""
    if isinstance(raw.obj, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        raw.obj.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True, eq=False)
class ZapFile:
    """A file that was opened: its header, its digest, and its Programs."""

    path: Path
    header: Mapping[str, Any]
    digest: str
    programs: StoredPrograms

    def read(self, kind: Any, key: str) -> Any:
        """A part of the header as this type. Raises some error of Python's for any other."""
        return adapter(kind).validate_python(self.header[key])

    def incomplete(self, error: Exception) -> ProgramError:
        """What to say of a header that lacks something."""
        return incomplete(self.path, error)


def open_zap(path: Path) -> ZapFile:
    """Open a .zap file. Raises ProgramError for any other, and for one of another version."""
    raw = _mapped(path)
    if len(raw) < _START.size or bytes(raw[:8]) != MAGIC:
        raise ProgramError(
            f"program '{path}' must be a .zap file; make one with 'zapdeploy compile'"
        )
    version = _START.unpack(raw[: _START.size])[1]
    if version != FORMAT_VERSION:
        raise ProgramError(
            f"program '{path}' must have format version {FORMAT_VERSION}, not {version};"
            " compile the model again with this version of zapdeploy"
        )
    if len(raw) < _PREFIX.size:
        raise damaged(path)
    header, starts, digest = _read_header(raw, path)
    sections = _sections(header, starts, path)
    return ZapFile(path, header, digest, StoredPrograms(raw, path, sections))


def _mapped(path: Path) -> memoryview:
    """A file's bytes, read when they are looked at."""
    require_regular(path, ProgramError, "program")
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the file is empty"
        raise ProgramError(f"program '{path}' must be readable: {reason}") from None


def _read_header(raw: memoryview, path: Path) -> tuple[dict[str, Any], int, str]:
    """What the header says, where it starts, and its digest."""
    _, _, zero, digest, length, more_zero = _PREFIX.unpack(raw[: _PREFIX.size])
    text = bytes(raw[len(raw) - length :]) if length <= len(raw) - _PREFIX.size else b""
    if zero or more_zero or hashlib.sha256(text).digest() != digest:
        raise damaged(path)
    try:
        header = json.loads(text)
    except ValueError:
        raise damaged(path) from None
    if not isinstance(header, dict):
        raise damaged(path)
    return header, len(raw) - length, digest.hex()


def _sections(header: Mapping[str, Any], starts: int, path: Path) -> tuple[Section, ...]:
    """Where the Programs lie: one after the other, from the prefix up to the header."""
    try:
        found = adapter(tuple[Section, ...]).validate_python(header["sections"])
    except WRONG as error:
        raise incomplete(path, error) from None
    ends = [_PREFIX.size, *(section.end for section in found)]
    if not found or [*(section.at for section in found), starts] != ends:
        raise damaged(path)
    return tuple(found)
