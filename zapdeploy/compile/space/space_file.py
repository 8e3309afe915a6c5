"""A network cut over space in a .zap file: the whole network, and a Program for each kind of card.

The first section holds the whole network and no plan. What cards send each other is not in the
file, as it follows from the network and the grid.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from zapdeploy.compile.multichip.pipeline import Pipeline
from zapdeploy.compile.multichip.pipeline_file import pipeline_in
from zapdeploy.compile.program.section import WRONG
from zapdeploy.compile.program.zap_file import Writer, ZapFile, open_zap
from zapdeploy.compile.space.grid import Grid
from zapdeploy.compile.space.program import SpaceProgram
from zapdeploy.compile.space.turns_file import KIND as TURNS
from zapdeploy.compile.space.turns_file import turns_in
from zapdeploy.compile.space.turns_program import TurnsProgram
from zapdeploy.errors import ProgramError, ZapdeployError
from zapdeploy.files import atomic_write

KIND = "space"


def save_space(program: SpaceProgram, path: Path) -> SpaceProgram:
    """Write the file whole or not at all; the program as it is in the file."""
    with atomic_write(path) as file:
        writer = Writer(file)
        writer.add(program.programs[0].without_plan(program.graph, program.options))
        for each in program.programs:
            writer.add(each)
        writer.end(_described(program))
    return load_space(path)


def load_program(path: Path) -> Pipeline | SpaceProgram | TurnsProgram:
    """Any .zap file. Raises ProgramError when it is not as it was written."""
    file = open_zap(path)
    if file.header.get("kind") == TURNS:
        return turns_in(file)
    return _space_in(file) if file.header.get("kind") == KIND else pipeline_in(file)


def load_space(path: Path) -> SpaceProgram:
    """Read a file of a network that is cut over space."""
    file = open_zap(path)
    if file.header.get("kind") != KIND:
        raise ProgramError(
            f"program '{path}' must be cut over space for this, not stages or boxes in turn; "
            "compile it with --split space"
        )
    return _space_in(file)


def _space_in(file: ZapFile) -> SpaceProgram:
    try:
        stored = replace(file.programs, unplanned=file.programs.sections[:1])
        if len(stored) < 2:
            raise ValueError(f"{len(stored)} sections")
        whole = stored[0]
        return SpaceProgram(
            model=whole.model,
            origin=whole.origin,
            target=whole.target,
            target_toml=whole.target_toml,
            options=whole.options,
            grid=Grid(tuple(int(part) for part in file.header["grid"])),
            graph=whole.graph,
            programs=stored[1:],
            violation=None,
            version=whole.version,
            digest=file.digest,
        )
    except ZapdeployError:
        raise
    except WRONG as error:
        raise file.incomplete(error) from None


def _described(program: SpaceProgram) -> dict[str, Any]:
    return {
        "kind": KIND,
        "grid": list(program.grid.parts),
        "options": asdict(program.options),
    }
