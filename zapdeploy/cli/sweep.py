"""zapdeploy sweep MODEL.onnx --batches 1,2,4,..."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zapdeploy.cli import options, show
from zapdeploy.errors import UsageError


def add_to(app: typer.Typer) -> None:
    app.command("sweep", help=_sweep.__doc__)(_sweep)


def _sweep(
    model: options.Model,
    target: options.Target = "northpole-sim",
    batches: Annotated[
        str, typer.Option("--batches", metavar="A,B,...", help="Batch sizes to try.")
    ] = "1,2,4,8,16,32,64",
    shape: options.Shape = None,
    chips: options.Chips = None,
    level: Annotated[
        str, typer.Option("--level", help="timing (scheduled), or the compiler's estimate.")
    ] = "timing",
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
    from zapdeploy.commands.sweep import sweep
    from zapdeploy.tables import write_page

    sizes = _sizes(batches)
    with show.progress(not as_json) as progress:
        found = sweep(
            model, target, batches=sizes, shapes=options.shapes_of(shape), chips=chips,
            level=options.level_of(level), progress=progress,
        )  # fmt: skip
    if not found.results:
        print(
            f"{model.name} does not fit at any of the batch sizes {batches}; see zapdeploy compile"
        )
        return 1
    if plot is not None:
        write_page(plot, found.plot())
    if as_json:
        show.print_json(found.as_json())
        return 0
    show.print_answer(found)
    if found.too_large:
        print(f"does not fit at batch {', '.join(map(str, found.too_large))}")
    if plot is not None:
        print(f"wrote {plot}")
    return 0


def _sizes(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(
            f"--batches must be whole numbers from 1, such as 1,8,32, not '{text}'"
        ) from None
