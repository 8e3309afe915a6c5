"""The .zap file of a network cut over space: the whole network, and one file for each kind of card.

Laid out like the file of several stages (`multichip/envelope.py`), with format version 3: the first
section holds the whole network and no plan, the others are single-chip files. What cards send each
other is not in the file, as it follows from the network and the grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from zapdeploy.compile.mapping.memory import MemoryPlan
from zapdeploy.compile.mapping.pricing import Counts
from zapdeploy.compile.multichip.envelope import (
    PREFIX,
    Section,
    StoredStages,
    Writer,
    load_pipeline,
    read_header,
)
from zapdeploy.compile.multichip.pipeline import Pipeline
from zapdeploy.compile.program.container import MAGIC, mapped
from zapdeploy.compile.program.program import Program
from zapdeploy.compile.space.grid import Grid
from zapdeploy.compile.space.program import SpaceProgram
from zapdeploy.errors import ProgramError
from zapdeploy.files import atomic_write

SPACE_VERSION = 3


def save_space(program: SpaceProgram, path: Path) -> SpaceProgram:
    """Write the file whole or not at all; the program as it is in the file."""
    with atomic_write(path) as file:
        writer = Writer(file)
        writer.add(_unplanned(program))
        for each in program.programs:
            writer.add(each)
        writer.end(_header(program), SPACE_VERSION)
    return load_space(path)


def load_program(path: Path) -> Pipeline | SpaceProgram:
    """Any .zap file. Raises ProgramError when it is not as it was written."""
    raw = mapped(path)
    if bytes(raw[:12]) == MAGIC + SPACE_VERSION.to_bytes(4, "little"):
        return load_space(path)
    return load_pipeline(path)


def load_space(path: Path) -> SpaceProgram:
    """Read a file of a network that is cut over space."""
    raw = mapped(path)
    header, digest = read_header(raw, path)
    try:
        sections = _sections(header)
        return _decode(header, StoredStages(raw, path, sections, sections[:1]), digest)
    except (KeyError, TypeError, ValueError) as error:
        raise ProgramError(f"program '{path}' has an incomplete header: {error}") from None


def _sections(header: dict[str, Any]) -> tuple[Section, ...]:
    from pydantic import TypeAdapter

    sections = TypeAdapter(tuple[Section, ...]).validate_python(header["stages"])
    ends = [PREFIX.size, *(section.end for section in sections)]
    if len(sections) < 2 or [*(s.at for s in sections), header["starts"]] != ends:
        raise ValueError("sections do not follow one another")
    return sections


def _decode(header: dict[str, Any], stored: Sequence[Program], digest: str) -> SpaceProgram:
    whole = stored[0]
    return SpaceProgram(
        model=whole.model,
        origin=whole.origin,
        target=whole.target,
        target_toml=whole.target_toml,
        options=whole.options,
        grid=Grid(tuple(int(part) for part in header["grid"])),
        graph=whole.graph,
        programs=stored[1:],
        violation=None,
        version=whole.version,
        digest=digest,
    )


def _header(program: SpaceProgram) -> dict[str, Any]:
    return {"grid": list(program.grid.parts), "options": asdict(program.options)}


def _unplanned(program: SpaceProgram) -> Program:
    """The whole network as a Program without a plan."""
    first = program.programs[0]
    empty = MemoryPlan((), first.memory.limit)
    return replace(
        first,
        options=program.options,
        graph=program.graph,
        layers=(),
        memory=empty,
        output_cycles=0,
        boundary_counts=Counts(),
        mapping_gap=0.0,
        violation=None,
        digest="",
    )
