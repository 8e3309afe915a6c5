"""zapdeploy events MODEL.onnx --target loihi2-sim --data synthetic --neurons N"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zapdeploy.cli import options, show
from zapdeploy.errors import UsageError

if TYPE_CHECKING:
    from zapdeploy.benchmarks.simulated.event_driven import EventStream, StreamPoint
    from zapdeploy.sim.results import Result


def add_to(app: typer.Typer) -> None:
    app.command("events", help=_events.__doc__)(_events)


def _events(
    model: options.Model,
    target: Annotated[
        str, typer.Option("--target", metavar="NAME", help="An event-driven chip.")
    ] = "loihi2-sim",
    shape: options.Shape = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="PATH|URL|synthetic",
            help="The recording (default: what the model was trained on, else synthetic).",
        ),
    ] = None,
    neurons: Annotated[
        int | None,
        typer.Option("--neurons", help="Neurons of the recording (default: the model's)."),
    ] = None,
    thresholds: Annotated[
        str,
        typer.Option(
            "--thresholds", metavar="A,B,...", help="Thresholds, in steps of each layer's codes."
        ),
    ] = "0,2,4,8,16,32",
    frames: Annotated[
        int | None,
        typer.Option("--frames", help="Frames of the recording to stream (default: all)."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="CURVE.html", help="Also draw the curve.")
    ] = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """A stream of frames on an event-driven chip: error against events as the threshold rises.

    Example: zapdeploy events time-mix-c4-int8.onnx --data synthetic --plot curve.html
    """
    from zapdeploy.api import compile_model, simulate
    from zapdeploy.benchmarks.accuracy.training_data import data_to_read
    from zapdeploy.benchmarks.simulated.event_driven import curve, neurons_read, open_stream
    from zapdeploy.recordings.recording import open_recording
    from zapdeploy.recordings.zapbench import FRAME_PERIOD_S

    steps = _thresholds(thresholds)
    shapes = options.shapes_of(shape)
    if frames is not None and frames < 1:
        raise UsageError(f"--frames must be at least 1, not {frames}; leave it out for all")
    with show.progress(not as_json) as progress:
        place, reading = data_to_read(str(model), data)
        recording = open_recording(
            place, neurons or neurons_read(model, shapes), options=reading, progress=progress
        )
        stream = open_stream(model, recording, target, frames, shapes)
        points = curve(stream, steps, progress=progress)
        rate = recording.frame_rate_hz or 1 / FRAME_PERIOD_S
        dense = compile_model(model, "northpole-sim", batch=1, objective="latency", shapes=shapes)
        beside = simulate(dense, frame_rate_hz=rate) if dense.fits else None
    if plot is not None:
        _draw(plot, model.stem, points, beside)
    if as_json:
        show.print_json(_document(model.stem, target, stream, points, beside))
        return 0
    show.print_table(_table(model.stem, target, stream, points, beside))
    print("Lava counted the events; Loihi 1's energies price them: upper bounds for Loihi 2.")
    if plot is not None:
        print(f"wrote {plot}")
    return 0


def _thresholds(text: str) -> list[int]:
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 0 or len(set(found)) < len(found):
        raise UsageError(
            f"--thresholds must be different whole numbers from 0, such as 0,4,16, not '{text}'"
        )
    return found


def _document(
    model: str,
    target: str,
    stream: EventStream,
    points: tuple[StreamPoint, ...],
    beside: Result | None,
) -> dict[str, Any]:
    return {
        "model": model,
        "target": target,
        "frames": stream.frames,
        "cores": stream.placement.cores,
        "points": [point.as_json() for point in points],
        "northpole-sim": None if beside is None else beside.as_json(),
    }


def _table(
    model: str,
    target: str,
    stream: EventStream,
    points: tuple[StreamPoint, ...],
    beside: Result | None,
) -> Any:
    columns = (
        *("threshold", "MAE x 1000", "synaptic ops", "saved", "messages"),
        *("energy (events)", "time of a step"),
    )
    rows = [
        (
            str(point.threshold),
            f"{1000 * point.mean_mae:.2f}",
            show.count(point.synaptic_ops),
            f"{point.saved_share:.1%}",
            show.count(point.messages),
            f"at most {show.quantity(point.energy.high, 'J')}",
            show.quantity(point.step_s, "s"),
        )
        for point in points
    ]
    if beside is not None:
        energy = show.quantity(beside.energy_per_frame.value, "J")
        latency = show.quantity(beside.latency_s, "s")
        exact = f"{1000 * points[0].mean_mae:.2f}" if points[0].threshold == 0 else ""
        rows.append(("northpole-sim", exact, "dense", "", "", f"{energy} (active)", latency))
    title = (
        f"{model} on {target}, {stream.frames} frames, {stream.placement.cores} cores; per frame"
    )
    return show.table(title, columns, rows)


def _draw(path: Path, model: str, points: tuple[StreamPoint, ...], beside: Result | None) -> None:
    """Error over synaptic operations, and error over energy with the dense chip beside it."""
    try:
        from plotly.subplots import make_subplots
    except ImportError:
        raise UsageError("--plot must have plotly; pip install 'zapdeploy[report]'") from None
    from zapdeploy.files import atomic_write

    figure = make_subplots(rows=1, cols=2, shared_yaxes=True)
    error = [1000 * point.mean_mae for point in points]
    labels = [f"threshold {point.threshold}" for point in points]
    operations = [point.synaptic_ops for point in points]
    joules = [point.energy.high * 1e6 for point in points]
    for column, x in ((1, operations), (2, joules)):
        figure.add_scatter(
            x=x, y=error, text=labels, mode="lines+markers", name="loihi2-sim", row=1, col=column
        )
    if beside is not None:
        active = beside.energy_per_frame.value * 1e6
        figure.add_scatter(
            x=[active], y=error[:1], mode="markers", name="northpole-sim, active", row=1, col=2
        )
    figure.update_xaxes(title="synaptic operations per frame", type="log", row=1, col=1)
    figure.update_xaxes(title="energy of a frame's events (uJ)", type="log", row=1, col=2)
    figure.update_yaxes(title="MAE x 1000", row=1, col=1)
    figure.update_layout(title=f"{model}: what change costs (simulated events, modelled energy)")
    with atomic_write(path) as file:
        file.write(figure.to_html(include_plotlyjs=True).encode())
