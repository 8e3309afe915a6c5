"""`compile` and `simulate` of a network that is cut over space, at once or in turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zapdeploy.cli import show
from zapdeploy.cli.verdicts import print_check, print_proofs
from zapdeploy.errors import UsageError

if TYPE_CHECKING:
    from zapdeploy.compile.graph import Array
    from zapdeploy.compile.space.program import SpaceProgram
    from zapdeploy.compile.space.turns_program import TurnsProgram
    from zapdeploy.sim.check import CheckResult
    from zapdeploy.sim.core_array import Agreement
    from zapdeploy.sim.space.results import SpaceResult
    from zapdeploy.sim.space.turns_results import TurnsResult


@dataclass(frozen=True)
class Request:
    """How a network is to be cut and compiled."""

    chips: int | None
    grid: str | None
    batch: int | None
    objective: str
    effort: str
    shapes: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Values:
    """What is to be computed with a program, which lies at `path`."""

    path: Path
    inputs: Path | None
    outputs: Path | None
    reference: Path | None
    seed: int
    check: bool


@dataclass(frozen=True)
class Timed:
    """What is to be timed."""

    level: str | None
    passes: int
    frame_rate: float | None


def is_asked_for(split: str | None, grid: str | None) -> bool:
    """Whether space is to be cut, not the chain of layers."""
    if split not in (None, "stages", "space", "turns"):
        raise UsageError(f"--split must be stages, space or turns, not '{split}'")
    if split in ("stages", "turns") and grid is not None:
        raise UsageError(f"--chip-grid must go with --split space, not {split}")
    return split in ("space", "turns") or grid is not None


def refuse_stages(micro_batch: int | None, state: object) -> None:
    """Options that only stages have."""
    for name, given in (("--micro-batch", micro_batch), ("--state", state)):
        if given:
            raise UsageError(f"{name} must be left out with --split space or turns")


def compile_network(
    model: Path, target: str, asked: Request, path: Path, *, as_json: bool, verbose: bool
) -> int:
    """Compile, write and say what a frame costs."""
    from zapdeploy.api import compile_space, simulate_space
    from zapdeploy.sim.asked import ESTIMATE
    from zapdeploy.sim.space.documents import program_json

    with show.progress(not as_json) as progress:
        program = compile_space(
            model,
            target,
            chips=asked.chips,
            chip_grid=asked.grid,
            batch=asked.batch,
            objective=asked.objective,
            effort=asked.effort,
            shapes=asked.shapes,
            output=path,
            progress=progress,
        )
    if not program.fits:
        if as_json:
            show.print_json(program_json(program))
        else:
            print(program.why_not)
        return 1
    return _say_written(simulate_space(program, level=ESTIMATE), path, as_json, verbose)


def compile_in_turn(
    model: Path, target: str, asked: Request, path: Path, *, as_json: bool, verbose: bool
) -> int:
    """Compile, write and say how slow it is."""
    from zapdeploy.commands.turns import compile_turns, simulate_turns
    from zapdeploy.sim.asked import ESTIMATE

    with show.progress(not as_json) as progress:
        program = compile_turns(
            model,
            target,
            chips=asked.chips or 1,
            batch=asked.batch,
            objective=asked.objective,
            effort=asked.effort,
            shapes=asked.shapes,
            output=path,
            progress=progress,
        )
    return _say_written(simulate_turns(program, level=ESTIMATE), path, as_json, verbose)


def _say_written(
    result: SpaceResult | TurnsResult, path: Path, as_json: bool, verbose: bool
) -> int:
    """What a program that is written costs by the estimate."""
    if as_json:
        show.print_json(result.as_json())
    else:
        _print(result, verbose)
        print(f"wrote {path}  (digest {result.program.digest[:16]})")
    return 0


def _timed(program: SpaceProgram | TurnsProgram, timed: Timed) -> SpaceResult | TurnsResult:
    from zapdeploy.api import simulate_space
    from zapdeploy.commands.turns import simulate_turns
    from zapdeploy.compile.space.turns_program import TurnsProgram
    from zapdeploy.sim.asked import ESTIMATE, TIMING

    level = TIMING if timed.level in (None, TIMING) else ESTIMATE
    passes, rate = timed.passes, timed.frame_rate
    if isinstance(program, TurnsProgram):
        return simulate_turns(program, passes=passes, frame_rate_hz=rate, level=level)
    return simulate_space(program, passes=passes, frame_rate_hz=rate, level=level)


def simulate_network(
    program: SpaceProgram | TurnsProgram, run: Values, timed: Timed, *, as_json: bool, verbose: bool
) -> int:
    """Time, prove the memories, and compute where that was asked for."""
    from zapdeploy.compile.program.layer import lower
    from zapdeploy.sim.memory_verifier import certify

    result = _timed(program, timed)
    proofs = [certify(lower(each)) for each in program.programs]
    document = {**result.as_json(), "certificate": [proof.as_json() for proof in proofs]}
    checked, agreed = _functional(program, run, timed.level)
    if checked is not None and agreed is not None:
        document |= {"check": checked.as_json(), "core_array": agreed.as_json()}
    if as_json:
        show.print_json(document)
    else:
        if timed.level != "functional":
            _print(result, verbose)
        if checked is not None:
            print_check(checked, verbose)
        print_proofs(proofs, agreed)
    passed = (checked is None or checked.passed) and (agreed is None or agreed.passed)
    return 0 if passed else 1


def _functional(
    program: SpaceProgram | TurnsProgram, run: Values, level: str | None
) -> tuple[CheckResult | None, Agreement | None]:
    from zapdeploy.arrays import load_arrays, save_arrays
    from zapdeploy.commands.run import run as run_values
    from zapdeploy.sim.batches import in_batches

    if run.outputs is not None or (level == "functional" and not run.check):
        if run.inputs is None:
            raise UsageError("--outputs and --level functional must go with --inputs X.npz")
        found = run_values(program, run.inputs)
        if run.outputs is not None:
            save_arrays(run.outputs, found)
    if not run.check:
        return None, None
    from zapdeploy.cli.reference import reference_file
    from zapdeploy.compile.space.turns_program import TurnsProgram
    from zapdeploy.sim.check import check, reference_inputs
    from zapdeploy.sim.space import agreement, turns

    graph, first = program.graph, reference_inputs(program.graph, run.seed)
    if run.inputs is not None:
        given: Mapping[str, Array] = load_arrays(run.inputs, graph.inputs)
        first = dict(in_batches(graph, given)[0])
    model = reference_file(program.origin, run.path, run.reference)
    if isinstance(program, TurnsProgram):
        return check(graph, model, first), turns.agreement(program, first)
    return check(graph, model, first), agreement.agreement(program, first)


def _print(result: SpaceResult | TurnsResult, verbose: bool) -> None:
    from zapdeploy.sim.space.results import SpaceResult
    from zapdeploy.sim.space.summary import kinds_table
    from zapdeploy.sim.space.turns_summary import rounds_table

    for table in result.tables():
        show.print_table(table)
    if verbose:
        more = kinds_table(result) if isinstance(result, SpaceResult) else rounds_table(result)
        show.print_table(more)
