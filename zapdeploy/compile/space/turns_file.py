"""A network in turn in a .zap file: the whole network, and the Program of each round's largest box.

The first section holds the whole network and no plan. The rounds and their boxes are not in the
file, as they follow from the network and the grid.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from zapdeploy.compile.program.section import WRONG
from zapdeploy.compile.program.zap_file import Writer, ZapFile, open_zap
from zapdeploy.compile.space.grid import Grid
from zapdeploy.compile.space.turns import rounds_of
from zapdeploy.compile.space.turns_program import TurnsProgram
from zapdeploy.errors import ProgramError, ZapdeployError
from zapdeploy.files import atomic_write

KIND = "turns"


def save_turns(program: TurnsProgram, path: Path) -> TurnsProgram:
    """Write the file whole or not at all; the program as it is in the file."""
    with atomic_write(path) as file:
        writer = Writer(file)
        writer.add(program.programs[0].without_plan(program.graph, program.options))
        for each in program.programs:
            writer.add(each)
        options, grid = asdict(program.options), list(program.grid.parts)
        writer.end({"kind": KIND, "grid": grid, "options": options})
    return load_turns(path)


def load_turns(path: Path) -> TurnsProgram:
    """Read a file of a network in turn. Raises ProgramError when it is none, or damaged."""
    file = open_zap(path)
    if file.header.get("kind") != KIND:
        raise ProgramError(
            f"program '{path}' must be in turn for this; compile it with --split turns"
        )
    return turns_in(file)


def turns_in(file: ZapFile) -> TurnsProgram:
    """The network in turn that a file holds."""
    try:
        stored = replace(file.programs, unplanned=file.programs.sections[:1])
        grid = Grid(tuple(int(part) for part in file.header["grid"]))
        whole = stored[0]
        rounds = rounds_of(whole.graph, grid)
        if len(stored) != len(rounds) + 1:
            raise ValueError(f"{len(stored)} sections for {len(rounds)} rounds")
        return TurnsProgram(
            whole.model, whole.origin, whole.target, whole.target_toml, whole.options, grid,
            whole.graph, rounds, stored[1:], whole.version, file.digest,
        )  # fmt: skip
    except ZapdeployError:
        raise
    except WRONG as error:
        raise file.incomplete(error) from None
