"""zapdeploy simulate MODEL.zap"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zapdeploy.cli import options, show, space
from zapdeploy.cli.reference import reference_file
from zapdeploy.cli.verdicts import print_check, print_proofs
from zapdeploy.errors import UsageError

if TYPE_CHECKING:
    from zapdeploy.commands.on_host import WholeOutput
    from zapdeploy.compile.multichip.pipeline import Pipeline
    from zapdeploy.sim.activity import ActivityResult
    from zapdeploy.sim.check import CheckResult
    from zapdeploy.sim.core_array import Agreement
    from zapdeploy.sim.results import Result

LEVELS = ("functional", "bound", "timing", "estimate")


def add_to(app: typer.Typer) -> None:
    app.command("simulate", help=_simulate.__doc__)(_simulate)


def _simulate(
    program: Annotated[Path, typer.Argument(metavar="MODEL.zap", help="A compiled network.")],
    inputs: Annotated[
        Path | None,
        typer.Option(
            "--inputs",
            metavar="X.npz",
            help="Inputs by the model's names, or an .npy; batches run one after the other.",
        ),
    ] = None,
    outputs: Annotated[
        Path | None, typer.Option("--outputs", metavar="Y.npz", help="Where to write the outputs.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Compare every tensor of the first batch with ONNX Runtime's."
        ),
    ] = False,
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            metavar="MODEL.onnx",
            help="The file compiled (default: beside the .zap).",
        ),
    ] = None,
    level: Annotated[
        str | None,
        typer.Option(
            "--level",
            help="Do only this: functional, bound, timing (scheduled), or estimate (closed form).",
        ),
    ] = None,
    trace: Annotated[
        Path | None, typer.Option("--trace", metavar="T.json", help="A timeline for Perfetto.")
    ] = None,
    trace_core: Annotated[
        str | None,
        typer.Option(
            "--trace-core",
            metavar="ROW,COLUMN",
            help="In the trace, also every step of one core.",
        ),
    ] = None,
    activity: Annotated[
        bool,
        typer.Option(
            "--activity",
            help="Count zeros and toggling bits of --inputs, and what they do to the energy.",
        ),
    ] = False,
    activity_frames: Annotated[
        int | None,
        typer.Option(
            "--activity-frames",
            metavar="N",
            min=1,
            help="Frames to count, spread over the inputs in whole batches (default: 2).",
        ),
    ] = None,
    frame_rate: options.FrameRate = None,
    passes: options.Passes = 1,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Seed of the inputs that --check draws.")
    ] = 0,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Run a compiled network: its values to the bit, its time, its energy.

    Example: zapdeploy simulate resnet50-int4.zap --check --frame-rate 1.09
    """
    from zapdeploy.api import simulate
    from zapdeploy.commands.on_host import cost_json, cost_table, host_cost, host_network
    from zapdeploy.compile.program.layer import lower
    from zapdeploy.compile.space.program import SpaceProgram
    from zapdeploy.compile.space.space_file import load_program
    from zapdeploy.compile.space.turns_program import TurnsProgram
    from zapdeploy.sim.asked import ESTIMATE, TIMING
    from zapdeploy.sim.memory_verifier import certify

    if level is not None and level not in LEVELS:
        raise UsageError(f"--level must be one of {', '.join(LEVELS)}, not '{level}'")
    loaded = load_program(program)
    if isinstance(loaded, SpaceProgram | TurnsProgram):
        if trace is not None or trace_core is not None:
            raise UsageError("--trace must be left out for a network cut over space")
        if activity or activity_frames is not None:
            raise UsageError("--activity must be left out for a network cut over space")
        run = space.Values(program, inputs, outputs, reference, seed, check=check)
        timed = space.Timed(level, passes, frame_rate)
        return space.simulate_network(loaded, run, timed, as_json=as_json, verbose=verbose)
    if passes != 1:
        raise UsageError("--passes must go with a network cut over space; use --batch for others")
    if activity and (inputs is None or level not in (None, TIMING, ESTIMATE)):
        raise UsageError(
            "--activity must go with --inputs X.npz, the values to count, and with no level but "
            "timing or estimate"
        )
    if activity_frames is not None and not activity:
        raise UsageError("--activity-frames must go with --activity")
    traced = None if trace_core is None else _core_of(trace_core, loaded, level, trace)
    result = simulate(
        loaded, frame_rate_hz=frame_rate, level=TIMING if level in (None, TIMING) else ESTIMATE
    )
    document = result.as_json()
    proofs = [certify(lower(stage)) for stage in loaded.stages]
    document["certificate"] = [proof.as_json() for proof in proofs]
    host = host_network(loaded)
    cost = None if host is None else host_cost(host)
    checked, agreed, beyond = _functional(
        loaded, program, inputs, outputs, check, reference, seed, level, as_json
    )
    if checked is not None and agreed is not None:
        document["check"] = checked.as_json()
        document["core_array"] = agreed.as_json()
    if cost is not None:
        document["host"] = cost_json(cost, result) | {"outputs": [row.as_json() for row in beyond]}
    counted = _activity(result, inputs, activity_frames, as_json) if activity else None
    if counted is not None:
        document["activity"] = counted.as_json()
    if trace is not None:
        _write_trace(trace, result, traced)
    if as_json:
        show.print_json(document)
    else:
        _print(result, checked, level, verbose)
        if cost is not None and level != "functional":
            show.print_table(cost_table(cost, result))
        for row in beyond:
            print(row)
        for table in () if counted is None else counted.tables():
            show.print_table(table)
        print_proofs(proofs, agreed)
    passed = (checked is None or checked.passed) and (agreed is None or agreed.passed)
    return 0 if passed else 1


def _functional(
    program: Pipeline,
    path: Path,
    inputs: Path | None,
    outputs: Path | None,
    check: bool,
    reference: Path | None,
    seed: int,
    level: str | None,
    quiet: bool,
) -> tuple[CheckResult | None, Agreement | None, tuple[WholeOutput, ...]]:
    """Run the values where that was asked for; the comparisons if there were any: layer by layer,
    core by core, and of the whole network's outputs where the host has a part in it."""
    from zapdeploy.arrays import load_arrays, save_arrays
    from zapdeploy.commands.on_host import compare_whole, first_batch, host_network

    if level in ("bound", "timing", "estimate") and (check or outputs):
        raise UsageError(f"--check and --outputs must go with --level functional, not {level}")
    if outputs is not None and inputs is None:
        raise UsageError("--outputs must go with --inputs X.npz, the inputs to run on")
    host = host_network(program)
    wanted = program.interface.inputs if host is None else host.inputs
    arrays = None if inputs is None else load_arrays(inputs, wanted)
    if outputs is not None or (level == "functional" and not check):
        from zapdeploy.commands.run import run

        if arrays is None:
            raise UsageError("--level functional must have --inputs X.npz or --check")
        with show.progress(not quiet) as shown:
            found = run(program, arrays, progress=lambda *done: shown("running batches", *done))
        if outputs is not None:
            save_arrays(outputs, found)
    if not check:
        return None, None, ()
    from zapdeploy.sim.batches import in_batches
    from zapdeploy.sim.check import check as compare
    from zapdeploy.sim.core_array import agreement
    from zapdeploy.sim.frames import first_state

    model = reference_file(program.origin, path, reference)
    graph = program.graph
    given = first_batch(program, arrays, seed)
    first = {**first_state(graph), **in_batches(program.interface, given.for_chip)[0]}
    checked = compare(graph, model, first)
    return checked, agreement(program, first), compare_whole(program, model, given, first)


def _activity(
    result: Result, inputs: Path | None, frames: int | None, quiet: bool
) -> ActivityResult:
    """Some of the inputs, run core by core with all bits counted."""
    from zapdeploy.arrays import load_arrays
    from zapdeploy.sim.activity import FRAMES, measure_activity
    from zapdeploy.sim.batches import in_batches

    assert inputs is not None
    interface = result.pipeline.interface
    given = in_batches(interface, load_arrays(inputs, interface.inputs))
    with show.progress(not quiet) as shown:
        return measure_activity(
            result, given, frames or FRAMES, lambda *done: shown("counting bits", *done)
        )


def _core_of(text: str, program: Pipeline, level: str | None, trace: Path | None) -> int:
    """The number of the core at ROW,COLUMN."""
    if level not in (None, "timing") or trace is None:
        raise UsageError("--trace-core must go with --trace T.json, and with no level but timing")
    from zapdeploy.compile.noc.mesh import Mesh

    mesh = Mesh.of(program.target)
    parts = text.split(",")
    if len(parts) == 2 and all(part.strip().isdecimal() for part in parts):
        row, column = map(int, parts)
        if row < mesh.rows and column < mesh.columns:
            return int(mesh.core(row, column))
    raise UsageError(
        f"--trace-core must be ROW,COLUMN from 0,0 to {mesh.rows - 1},{mesh.columns - 1}, not "
        f"'{text}'"
    )


def _write_trace(path: Path, result: Result, core: int | None) -> None:
    import json

    from zapdeploy.files import atomic_write
    from zapdeploy.sim.trace import chrome_trace

    cores = []
    if core is not None:
        from zapdeploy.sim.schedule import schedule
        from zapdeploy.sim.schedule.core_events import core_events

        cores = [list(core_events(schedule(stage), core)) for stage in result.pipeline.stages]
    made = chrome_trace(result.flow, result.pipeline.target.name, result.arrays, cores)
    with atomic_write(path) as file:
        file.write(json.dumps(made).encode())


def _print(result: Result, checked: CheckResult | None, level: str | None, verbose: bool) -> None:
    from zapdeploy.cli.compile import print_parts
    from zapdeploy.sim.summary import bound_table, summary_table

    if level != "functional":
        show.print_table(bound_table(result) if level == "bound" else summary_table(result))
    if level != "functional":
        print_parts(result, verbose)
    if checked is not None:
        print_check(checked, verbose)
