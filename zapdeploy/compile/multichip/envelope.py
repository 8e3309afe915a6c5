"""The .zap file of several chips: an envelope around one single-chip file for each stage.

Layout (little endian):

    0   8 bytes   magic "ZAPDEPLY"
    8   uint32    format version, 2
    12  uint32    0
    16  32 bytes  SHA-256 of the header: the pipeline's digest
    48  uint64    length of the header in bytes
    56  uint64    0
    64  stages    files of format version 1, one after the other (see `container`)
    ..  header    JSON, UTF-8, keys sorted, up to the end: options, links, where stages lie

A stage is read, and checked against its digest, when it is asked for. A pipeline of one stage that
takes whole batches is written as the single-chip file that it is.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import struct
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, overload

from zapdeploy.compile.graph import ElementType, Value
from zapdeploy.compile.multichip.pipeline import Link, Pipeline, single
from zapdeploy.compile.program.container import (
    ALIGNMENT,
    MAGIC,
    decode_program,
    encode_program,
    mapped,
    program_digest,
    save_program,
)
from zapdeploy.compile.program.program import Options, Origin, Program
from zapdeploy.errors import ProgramError
from zapdeploy.files import atomic_write
from zapdeploy.hardware_targets import parse_target

FORMAT_VERSION = 2
PREFIX = struct.Struct("<8sII32sQQ")


def save_pipeline(pipeline: Pipeline, path: Path) -> Pipeline:
    """Write the file whole or not at all; the pipeline as it is in the file."""
    if _is_single(pipeline):
        return single(save_program(pipeline.stages[0], path))
    with atomic_write(path) as file:
        writer = Writer(file)
        for program in pipeline.stages:
            writer.add(program)
        writer.close(pipeline)
    return load_pipeline(path)


class Writer:
    """Writes stages one by one, so that none has to be kept, and then what holds them together."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._sections = file, list[Section]()
        file.write(bytes(PREFIX.size))

    def add(self, program: Program) -> None:
        chunks, digest = encode_program(program)
        section = Section(self._file.tell(), sum(map(len, chunks)), digest)
        self._file.writelines((*chunks, bytes(section.end - section.at - section.length)))
        self._sections.append(section)

    def close(self, pipeline: Pipeline) -> None:
        """Write the header. The pipeline's own `stages` are not looked at."""
        self.end(_described(pipeline), FORMAT_VERSION)

    def end(self, described: dict[str, Any], version: int) -> None:
        """Write a header that says this, and where the sections lie."""
        header, digest = _header(described, self._sections)
        self._file.write(header)
        self._file.seek(0)
        self._file.write(PREFIX.pack(MAGIC, version, 0, digest, len(header), 0))


def pipeline_digest(pipeline: Pipeline) -> str:
    """The digest that the file would have."""
    if _is_single(pipeline):
        return program_digest(pipeline.stages[0])
    sections: list[Section] = []
    for program in pipeline.stages:
        chunks, digest = encode_program(program)
        at = sections[-1].end if sections else PREFIX.size
        sections.append(Section(at, sum(map(len, chunks)), digest))
    return _header(_described(pipeline), sections)[1].hex()


def load_pipeline(path: Path) -> Pipeline:
    """Read a file of one chip or of several. Raises ProgramError when it is not as it was written.

    Of several, a stage that is damaged is found when it is read.
    """
    raw = mapped(path)
    if raw[:12] == struct.pack("<8sI", MAGIC, FORMAT_VERSION + 1):
        raise ProgramError(
            f"program '{path}' must be of one chip or of stages for this, not cut over space; "
            "compile it without --split space"
        )
    if raw[:12] != struct.pack("<8sI", MAGIC, FORMAT_VERSION) or len(raw) < PREFIX.size:
        return single(decode_program(raw, path))
    header, digest = read_header(raw, path)
    try:
        return _decode(header, raw, path, digest)
    except (KeyError, TypeError, ValueError) as error:
        raise ProgramError(f"program '{path}' has an incomplete header: {error}") from None


@dataclass(frozen=True)
class Section:
    """Where a stage lies in the file."""

    at: int
    length: int
    digest: str

    @property
    def end(self) -> int:
        """Where the next one starts."""
        return self.at + self.length + -self.length % ALIGNMENT


@dataclass(frozen=True, eq=False)
class StoredStages(Sequence[Program]):
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
        planned = section not in self.unplanned
        program = decode_program(self.raw[section.at : end], self.path, planned=planned)
        if program.digest != section.digest or any(self.raw[end : section.end]):
            raise _damaged(self.path)
        return program

    def __iter__(self) -> Iterator[Program]:
        return (self[index] for index in range(len(self)))


def _let_go(raw: memoryview) -> None:
    """Give back the memory of what was read before; it is read again when it is looked at."""
    if isinstance(raw.obj, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        raw.obj.madvise(mmap.MADV_DONTNEED)


def _is_single(pipeline: Pipeline) -> bool:
    return len(pipeline.stages) == 1 and pipeline.micro_batches == 1


def _described(pipeline: Pipeline) -> dict[str, Any]:
    """What the header says of a pipeline."""
    return {
        "model": pipeline.model,
        "version": pipeline.version,
        "target": pipeline.target_toml,
        "options": asdict(pipeline.options),
        "micro_batch": pipeline.micro_batch,
        "inputs": [_value_json(value) for value in pipeline.inputs],
        "outputs": [_value_json(value) for value in pipeline.outputs],
        "state": [list(pair) for pair in pipeline.state],
        "origins": [asdict(origin) for origin in pipeline.origins],
        "links": [asdict(link) for link in pipeline.links],
    }


def _header(described: dict[str, Any], sections: Sequence[Section]) -> tuple[bytes, bytes]:
    """The header's bytes and their SHA-256."""
    header = {**described, "stages": [asdict(section) for section in sections]}
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    return text, hashlib.sha256(text).digest()


def read_header(raw: memoryview, path: Path) -> tuple[dict[str, Any], str]:
    """What the header says, with `starts`, where it begins; and its digest."""
    _, _, zero, digest, length, more_zero = PREFIX.unpack(raw[: PREFIX.size])
    text = bytes(raw[len(raw) - length :]) if length <= len(raw) - PREFIX.size else b""
    if zero or more_zero or hashlib.sha256(text).digest() != digest:
        raise _damaged(path)
    try:
        header = json.loads(text)
    except ValueError:
        raise _damaged(path) from None
    if not isinstance(header, dict):
        raise _damaged(path)
    return {**header, "starts": len(raw) - length}, digest.hex()


def _decode(header: dict[str, Any], raw: memoryview, path: Path, digest: str) -> Pipeline:
    from pydantic import TypeAdapter

    def read(kind: Any, key: str) -> Any:
        return TypeAdapter(kind).validate_python(header[key])

    sections = read(tuple[Section, ...], "stages")
    ends = [PREFIX.size, *(section.end for section in sections)]
    if not sections or [*(s.at for s in sections), header["starts"]] != ends:
        raise _damaged(path)
    return Pipeline(
        model=read(str, "model"),
        target=parse_target(header["target"], "target in the program"),
        target_toml=header["target"],
        options=read(Options, "options"),
        micro_batch=read(int, "micro_batch"),
        inputs=tuple(map(_value, header["inputs"])),
        outputs=tuple(map(_value, header["outputs"])),
        state=read(tuple[tuple[str, str], ...], "state"),
        origins=read(tuple[Origin, ...], "origins"),
        stages=StoredStages(raw, path, sections),
        links=read(tuple[Link, ...], "links"),
        violation=None,
        version=read(str, "version"),
        digest=digest,
    )


def _value_json(value: Value) -> list[Any]:
    return [value.name, list(value.shape), [value.element.kind, value.element.bits]]


def _value(item: list[Any]) -> Value:
    name, shape, element = item
    return Value(str(name), tuple(map(int, shape)), ElementType(*element))


def _damaged(path: Path) -> ProgramError:
    return ProgramError(f"program '{path}' is damaged; compile the model again")
