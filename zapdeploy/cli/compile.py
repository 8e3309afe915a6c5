"""zapdeploy compile MODEL.onnx --target NAME|FILE.toml"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zapdeploy.cli import options, show, space
from zapdeploy.errors import UsageError

if TYPE_CHECKING:
    from zapdeploy.sim.results import Result


def add_to(app: typer.Typer) -> None:
    app.command("compile", help=_compile.__doc__)(_compile)


def _compile(
    model: options.Model,
    target: options.Target = "northpole-sim",
    batch: options.Batch = None,
    chips: options.Chips = None,
    split: options.Split = None,
    chip_grid: options.ChipGrid = None,
    micro_batch: Annotated[
        int | None,
        typer.Option("--micro-batch", help="Frames that a chip takes at a time (default: chosen)."),
    ] = None,
    objective: Annotated[
        str, typer.Option("--objective", help="throughput, latency or energy.")
    ] = "throughput",
    effort: Annotated[
        str,
        typer.Option(
            "--effort", help="quick, normal or thorough (minutes: cuts are chosen by schedules)."
        ),
    ] = "normal",
    shape: options.Shape = None,
    state: options.State = None,
    host: options.Host = None,
    skip_zero_blocks: Annotated[
        bool,
        typer.Option(
            "--skip-zero-blocks",
            help="Leave out blocks of weights that are all zero (matrix products; exact).",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="MODEL.zap", help="Default: beside the model."),
    ] = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Map a quantized network onto a chip; writes MODEL.zap and says what a frame costs.

    Example: zapdeploy compile resnet50-int4.onnx --target northpole-sim --batch 32
    """
    from zapdeploy.api import compile_model, simulate
    from zapdeploy.sim.asked import ESTIMATE
    from zapdeploy.sim.documents import program_json
    from zapdeploy.sim.summary import summary_table

    path = output or model.with_suffix(".zap")
    if space.is_asked_for(split, chip_grid):
        asked = space.Request(chips, chip_grid, batch, objective, effort, options.shapes_of(shape))
        space.refuse_stages(micro_batch, state)
        if host:
            raise UsageError("--host must be left out for a network cut over space")
        if skip_zero_blocks:
            raise UsageError("--skip-zero-blocks must be left out for a network cut over space")
        if split == "turns":
            return space.compile_in_turn(
                model, target, asked, path, as_json=as_json, verbose=verbose
            )
        return space.compile_network(model, target, asked, path, as_json=as_json, verbose=verbose)
    given = options.shapes_of(shape)
    if host:
        from zapdeploy.commands.on_host import split_for_host
        from zapdeploy.simplify import InputShapes

        part = path.with_suffix(".chip.onnx")
        split_for_host(model, host, part, InputShapes(None, given))
        model, given = part, {}
    with show.progress(not as_json) as progress:
        program = compile_model(
            model,
            target,
            batch=batch,
            chips=chips,
            micro_batch=micro_batch,
            objective=objective,
            effort=effort,
            shapes=given,
            state=options.state_pairs(state),
            skip_zero_blocks=skip_zero_blocks,
            output=path,
            progress=progress,
        )
    if not program.fits:
        if as_json:
            show.print_json(program_json(program))
        else:
            print(program.why_not)
        return 1
    result = simulate(program, level=ESTIMATE)
    if as_json:
        show.print_json(result.as_json())
        return 0
    show.print_table(summary_table(result))
    print_parts(result, verbose)
    print(f"wrote {path}  (digest {program.digest[:16]})")
    return 0


def print_parts(result: Result, verbose: bool) -> None:
    """The chips where there are several; every layer where that is asked for."""
    from zapdeploy.sim.summary import layer_table, stage_table

    if result.chips > 1:
        show.print_table(stage_table(result))
    if verbose:
        show.print_table(layer_table(result))
