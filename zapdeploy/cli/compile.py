"""zapdeploy compile MODEL.onnx --target NAME|FILE.toml"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zapdeploy.cli import options, show

if TYPE_CHECKING:
    from zapdeploy.compile.multichip.pipeline import Pipeline
    from zapdeploy.sim.results import Result


def add_to(app: typer.Typer) -> None:
    app.command("compile", help=_compile.__doc__)(_compile)


def _compile(
    model: options.Model,
    target: options.Target = "northpole-sim",
    batch: options.Batch = None,
    chips: options.Chips = None,
    micro_batch: Annotated[
        int | None,
        typer.Option("--micro-batch", help="Frames that a chip takes at a time (default: chosen)."),
    ] = None,
    objective: Annotated[
        str, typer.Option("--objective", help="throughput, latency or energy.")
    ] = "throughput",
    shape: options.Shape = None,
    state: options.State = None,
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
    from zapdeploy.sim.documents import program_json

    path = output or model.with_suffix(".zap")
    with show.progress(not as_json) as progress:
        program = compile_model(
            model,
            target,
            batch=batch,
            chips=chips,
            micro_batch=micro_batch,
            objective=objective,
            shapes=options.shapes_of(shape),
            state=options.state_pairs(state),
            output=path,
            progress=progress,
        )
    if not program.fits:
        if as_json:
            show.print_json(program_json(program))
        else:
            print(violation_text(program))
        return 1
    result = simulate(program)
    if as_json:
        show.print_json(result.as_json())
        return 0
    show.print_table(summary_table(result))
    print_parts(result, verbose)
    print(f"wrote {path}  (digest {program.digest[:16]})")
    return 0


def violation_text(program: Pipeline) -> str:
    """Why a network does not fit, in one sentence a person can act on."""
    violation = program.violation
    assert violation is not None
    over = violation.demanded - violation.limit
    hints = " or ".join(violation.hints) or "a chip with more memory"
    return (
        f"{program.model} does not fit on {_chips(program)}: layer '{violation.layer}' needs"
        f" {violation.what}: {violation.demanded:,} bytes demanded, {violation.limit:,} available,"
        f" {over:,} too many. What would do: {hints}."
    )


def summary_table(result: Result) -> Any:
    """The answer: speed, energy, memory, each with its word."""
    program, boundary = result.pipeline, _boundary(result)
    per_bound = result.throughput_fps / result.bound_throughput_fps
    rows = [
        ("frames per second", show.count(result.throughput_fps), "simulated"),
        ("  limited by", _limiter(result), "simulated"),
        ("  share of the array's lower bound", f"{per_bound:.1%}", "simulated"),
        (
            f"latency of a batch of {result.batch}",
            show.quantity(result.latency_s, "s"),
            "simulated",
        ),
        ("  of which on the host link", show.quantity(result.host_s, "s"), "modelled"),
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
            _fullest_core(result),
            "simulated",
        ),
        ("mapping: cheaper by at most", f"{result.mapping_gap:.1%}", "simulated"),
    ]
    rows += _width_rows(program)
    rows += _sequence_rows(result)
    rate = result.at_frame_rate
    if rate is not None:
        energy = show.interval(rate.energy_per_frame, "J")
        keeps = "yes" if rate.keeps_up else "no"
        rows += [
            (f"energy per frame at {rate.frame_rate_hz:g} Hz, idle included", energy, "modelled"),
            (f"keeps up with {rate.frame_rate_hz:g} Hz", keeps, "simulated"),
            ("  busy", f"{rate.busy_share:.2%}", "simulated"),
        ]
    level = result.stages[0].timeline.level
    title = f"{program.model} on {_chips(program)}, batch {result.batch}, cycles {level}"
    if program.micro_batches > 1:
        title += f" in micro-batches of {program.micro_batch}"
    return show.table(title, ("", "value", "kind"), rows)


def _width_rows(program: Pipeline) -> list[tuple[str, str, str]]:
    """Widths that the chip has not: stored, moved and counted at the next one that it has."""
    from zapdeploy.sim.documents import widened

    return [
        (f"tensors of {bits} bits, stored and counted at {stored}", show.count(count), "simulated")
        for (bits, stored), count in widened(program).items()
    ]


def _sequence_rows(result: Result) -> list[tuple[str, str, str]]:
    """Of a network that keeps state, such as a language model with its caches."""
    from zapdeploy.sim.sequences import sequences_of

    found = sequences_of(result)
    if found is None:
        return []
    return [
        ("sequences in turn that memory has room for", show.count(found.most), "simulated"),
        ("frames per second with these", show.count(found.frames_per_s), "simulated"),
        ("frames per second of one sequence alone", show.count(found.alone_fps), "simulated"),
    ]


def _chips(program: Pipeline) -> str:
    chips = program.options.chips
    return program.target.name if chips == 1 else f"{chips} x {program.target.name}"


def _boundary(result: Result) -> str:
    boundary = result.pipeline.target.energy.boundary
    return boundary if result.chips == 1 else f"all {result.chips} {boundary}s"


def _limiter(result: Result) -> str:
    limiter = result.limiter.replace("_", " ")
    return limiter if result.chips == 1 else f"{limiter} (chip {result.flow.slowest + 1})"


def _fullest_core(result: Result) -> str:
    memory = max((stage.memory for stage in result.stages), key=lambda memory: memory.peak)
    return f"{memory.peak / 1024:.0f} of {memory.limit / 1024:.0f} KiB"


def print_parts(result: Result, verbose: bool) -> None:
    """The chips where there are several; every layer where that is asked for."""
    if result.chips > 1:
        show.print_table(stage_table(result))
    if verbose:
        show.print_table(layer_table(result))


def stage_table(result: Result) -> Any:
    """One row per chip: which layers it runs, how long it and its link take for a micro-batch."""
    rows = [
        (
            f"{number}: {stage.layers[0].name} ..",
            str(len(stage.layers)),
            show.quantity(stage.timeline.host_in_s, "s"),
            show.quantity(stage.timeline.array_s, "s"),
            show.quantity(stage.timeline.host_out_s, "s"),
            f"{stage.timeline.interval_s / result.flow.interval_s:.0%}",
            stage.timeline.limiter,
            f"{stage.memory.peak / 1024:.0f} KiB",
            show.quantity(result.stage_energy(stage).value, "J"),
        )
        for number, stage in enumerate(result.stages, 1)
    ]
    columns = (
        "chip and its first layer",
        "layers",
        "arriving",
        "computing",
        "leaving",
        "busy",
        "limited by",
        "fullest core",
        "energy per frame",
    )
    return show.table("chips", columns, rows)


def layer_table(result: Result) -> Any:
    """One row per layer: how it is cut, how long it takes, what holds it up."""
    rows = [
        (
            layer.name,
            layer.op,
            "x".join(map(str, layer.cut)),
            f"{layer.bits}" if layer.macs else "",
            show.count(span.end - span.start),
            show.count(layer.bound_cycles),
            span.limiter,
        )
        for stage in result.stages
        for layer, span in zip(stage.layers, stage.timeline.spans, strict=True)
    ]
    columns = ("layer", "operators", "cut", "bits", "cycles", "bound", "limited by")
    return show.table("layers", columns, rows)
