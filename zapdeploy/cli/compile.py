"""zapdeploy compile MODEL.onnx --target NAME|FILE.toml"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zapdeploy.cli import options, show

if TYPE_CHECKING:
    from zapdeploy.compile.program import Program
    from zapdeploy.sim.results import Result


def add_to(app: typer.Typer) -> None:
    app.command("compile", help=_compile.__doc__)(_compile)


def _compile(
    model: options.Model,
    target: options.Target = "northpole-sim",
    batch: options.Batch = None,
    chips: Annotated[int, typer.Option("--chips", help="Chips to spread the network over.")] = 1,
    objective: Annotated[
        str, typer.Option("--objective", help="throughput, latency or energy.")
    ] = "throughput",
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
    from zapdeploy.sim.results import program_json

    path = output or model.with_suffix(".zap")
    with show.progress(not as_json) as progress:
        program = compile_model(
            model,
            target,
            batch=batch,
            chips=chips,
            objective=objective,
            output=path,
            progress=progress,
        )
    if not program.fits:
        if as_json:
            show.print_json(program_json(program))
        else:
            print(unfit_text(program))
        return 1
    result = simulate(program)
    if as_json:
        show.print_json(result.as_json())
        return 0
    show.print_table(summary_table(result))
    if verbose:
        show.print_table(layer_table(result))
    print(f"wrote {path}  (digest {program.digest[:16]})")
    return 0


def unfit_text(program: Program) -> str:
    """Why a network does not fit, in one sentence a person can act on."""
    unfit = program.unfit
    assert unfit is not None
    over = unfit.demanded - unfit.limit
    hints = " or ".join(unfit.hints) or "a chip with more memory"
    return (
        f"{program.model} does not fit on {program.target.name}: layer '{unfit.layer}' needs"
        f" {unfit.what}: {unfit.demanded:,} bytes demanded, {unfit.limit:,} available,"
        f" {over:,} too many. What would do: {hints}."
    )


def summary_table(result: Result) -> Any:
    """The answer: speed, energy, memory, each with its word."""
    program, memory = result.program, result.program.memory
    boundary = program.target.energy.boundary
    per_bound = result.throughput_fps / result.bound_throughput_fps
    rows = [
        ("frames per second", show.count(result.throughput_fps), "simulated"),
        ("  limited by", result.timeline.limiter.replace("_", " "), "simulated"),
        ("  share of the array's lower bound", f"{per_bound:.1%}", "simulated"),
        (
            f"latency of a batch of {result.batch}",
            show.quantity(result.latency_s, "s"),
            "simulated",
        ),
        ("  of which on the host link", show.quantity(_host_s(result), "s"), "modelled"),
        (f"energy per frame ({boundary})", show.interval(result.energy_per_frame, "J"), "modelled"),
        (f"power ({boundary})", show.interval(result.power_w, "W"), "modelled"),
        (
            "frames per joule",
            f"{1 / result.energy_per_frame.value:,.0f}",
            "modelled",
        ),
        ("use of the matrix units", f"{result.utilization:.1%}", "simulated"),
        (
            "memory of the fullest core",
            f"{memory.peak / 1024:.0f} of {memory.limit / 1024:.0f} KiB",
            "simulated",
        ),
        ("mapping: cheaper by at most", f"{program.mapping_gap:.1%}", "simulated"),
    ]
    rate = result.at_frame_rate
    if rate is not None:
        energy = show.interval(rate.energy_per_frame, "J")
        keeps = "yes" if rate.keeps_up else "no"
        rows += [
            (f"energy per frame at {rate.frame_rate_hz:g} Hz, idle included", energy, "modelled"),
            (f"keeps up with {rate.frame_rate_hz:g} Hz", keeps, "simulated"),
            ("  busy", f"{rate.busy_share:.2%}", "simulated"),
        ]
    title = f"{program.model} on {program.target.name}, batch {result.batch}"
    return show.table(title, ("", "value", "kind"), rows)


def _host_s(result: Result) -> float:
    return result.timeline.host_in_s + result.timeline.host_out_s


def layer_table(result: Result) -> Any:
    """One row per layer: how it is cut, how long it takes, what holds it up."""
    rows = [
        (
            layer.name,
            layer.op,
            "x".join(map(str, layer.cut)),
            f"{layer.bits}" if layer.macs else "",
            show.count(layer.cycles),
            show.count(layer.bound_cycles),
            layer.limiter,
        )
        for layer in result.program.layers
    ]
    columns = ("layer", "operators", "cut", "bits", "cycles", "bound", "limited by")
    return show.table("layers", columns, rows)
