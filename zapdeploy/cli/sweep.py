"""zapdeploy sweep MODEL.onnx --batches 1,2,4,..."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zapdeploy.cli import options, show
from zapdeploy.errors import UsageError

if TYPE_CHECKING:
    from zapdeploy.sim.results import Result


def add_to(app: typer.Typer) -> None:
    app.command("sweep", help=_sweep.__doc__)(_sweep)


def _sweep(
    model: options.Model,
    target: options.Target = "northpole-sim",
    batches: Annotated[
        str, typer.Option("--batches", metavar="A,B,...", help="Batch sizes to try.")
    ] = "1,2,4,8,16,32,64",
    chips: options.Chips = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="CURVE.html", help="Also draw the curve.")
    ] = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Throughput against latency: compile for several batch sizes, side by side.

    Example: zapdeploy sweep resnet50-int4.onnx --batches 1,4,16,64 --plot curve.html
    """
    from zapdeploy.api import compile_model, simulate

    sizes = _sizes(batches)
    results: list[Result] = []
    for index, size in enumerate(sizes):
        with show.progress(not as_json) as progress:
            progress("batch sizes", index, len(sizes))
            program = compile_model(model, target, batch=size, chips=chips, progress=progress)
        if program.fits:
            results.append(simulate(program))
            chips = results[0].chips  # one number for all, or they could not be compared
    if not results:
        print(
            f"{model.name} does not fit at any of the batch sizes {batches}; see zapdeploy compile"
        )
        return 1
    if plot is not None:
        _draw(plot, model.stem, results)
    rows = [_row(result) for result in results]
    if as_json:
        show.print_json({"model": model.stem, "target": target, "rows": rows})
        return 0
    show.print_table(_table(model.stem, target, rows))
    missing = [str(s) for s in sizes if s not in {r["batch"] for r in rows}]
    if missing:
        print(f"does not fit at batch {', '.join(missing)}")
    if plot is not None:
        print(f"wrote {plot}")
    return 0


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise UsageError(f"--batches must be whole numbers from 1, such as 1,8,32, not '{text}'")
    return sizes


def _row(result: Result) -> dict[str, Any]:
    return {
        "batch": result.batch,
        "chips": result.chips,
        "throughput_fps": result.throughput_fps,
        "latency_s": result.latency_s,
        "latency_array_s": result.array_s,
        "bound_throughput_fps": result.bound_throughput_fps,
        "energy_per_frame_j": result.energy_per_frame.as_json(),
        "power_w": result.power_w.value,
        "mapping_gap": result.mapping_gap,
    }


def _table(model: str, target: str, rows: list[dict[str, Any]]) -> Any:
    cells = [
        (
            str(row["batch"]),
            show.count(row["throughput_fps"]),
            f"{row['throughput_fps'] / row['bound_throughput_fps']:.1%}",
            show.quantity(row["latency_array_s"], "s"),
            show.quantity(row["latency_s"], "s"),
            show.quantity(row["energy_per_frame_j"]["value"], "J"),
            show.quantity(row["power_w"], "W"),
        )
        for row in rows
    ]
    columns = (
        "batch",
        "frames/s",
        "of the bound",
        "latency on chip",
        "with host link",
        "energy per frame",
        "power",
    )
    chips = f"{rows[0]['chips']} x " if rows[0]["chips"] > 1 else ""
    title = f"{model} on {chips}{target}: time simulated, energy modelled"
    return show.table(title, columns, cells)


def _draw(path: Path, model: str, results: list[Result]) -> None:
    """Frames per second over latency, one point per batch size, as a page of its own."""
    try:
        from plotly import graph_objects
    except ImportError:
        raise UsageError("--plot must have plotly; pip install 'zapdeploy[report]'") from None
    from zapdeploy.files import atomic_write

    line = graph_objects.Scatter(
        x=[r.latency_s * 1e3 for r in results],
        y=[r.throughput_fps for r in results],
        text=[f"batch {r.batch}" for r in results],
        mode="lines+markers+text",
        textposition="bottom right",
        name=model,
    )
    figure = graph_objects.Figure(line)
    target = results[0].pipeline.target.name
    figure.update_layout(
        title=f"{model} on {target} (simulated)",
        xaxis={"title": "latency of a batch, host link included (ms)", "type": "log"},
        yaxis={"title": "frames per second", "rangemode": "tozero"},
        template="plotly_white",
    )
    with atomic_write(path) as file:
        file.write(figure.to_html(include_plotlyjs=True).encode())
