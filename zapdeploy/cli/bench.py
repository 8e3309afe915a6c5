"""zapdeploy bench --models A,B --targets northpole-sim,cpu -o DIR"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zapdeploy.cli import options, show
from zapdeploy.errors import UsageError

if TYPE_CHECKING:
    from zapdeploy.benchmarks import BenchmarkResult


def add_to(app: typer.Typer) -> None:
    app.command("bench", help=_bench.__doc__)(_bench)


def _bench(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the results.")
    ],
    models: Annotated[
        str,
        typer.Option("--models", metavar="A,B,...", help="Names, folders from train, ONNX files."),
    ] = "resnet50,tsmixer-c4",
    targets: Annotated[
        str, typer.Option("--targets", metavar="A,B,...", help="cpu, gpu, chips or their files.")
    ] = "northpole-sim,cpu",
    precisions: Annotated[
        str, typer.Option("--precisions", metavar="A,B,...", help="Any of fp32, fp16, int8, int4.")
    ] = "fp32,int8,int4",
    frame_rate: options.FrameRate = None,
    neurons: Annotated[
        int | None, typer.Option("--neurons", help="Neurons of forecasters (default: all 71,721).")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="PATH|URL|synthetic",
            help="Recording to judge on (default: what a model was trained on, else synthetic).",
        ),
    ] = None,
    recorded: Annotated[
        list[Path] | None,
        typer.Option("--recorded", metavar="DIR", help="Results of another machine; repeatable."),
    ] = None,
    shape: options.Shape = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline", metavar="TARGET,PRECISION", help="The row that ratios are taken to."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Short measurements, each with its spread.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep finished rows of an earlier run in DIR.")
    ] = False,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Networks on simulated chips beside this machine and published results.

    Example: zapdeploy bench --models resnet50 --targets northpole-sim,cpu -o results --resume
    """
    from zapdeploy.commands.bench import bench

    compared_with = read_baseline(baseline)
    with show.progress(not as_json) as progress:
        result = bench(
            output,
            models=_listed(models),
            targets=_listed(targets),
            precisions=_listed(precisions),
            frame_rate_hz=frame_rate,
            neurons=neurons,
            data=data,
            recorded=recorded or (),
            shapes=options.shapes_of(shape),
            quick=quick,
            resume=resume,
            progress=progress,
            answered=lambda found: None if as_json else _first_answer(found, progress),
        )
    if as_json:
        show.print_json(result.as_json())
    else:
        print_result(result, compared_with, verbose=verbose)
    return 0


def _first_answer(result: BenchmarkResult, progress: show.Progress) -> None:
    """Whether each network keeps up, and what a frame costs, while the rest is being measured."""
    from rich.console import Console

    from zapdeploy.benchmarks.results.comparison import DEFAULT_BASELINE, compare_rows
    from zapdeploy.benchmarks.results.table import NARROW, print_answers

    rate = result.frame_rate_hz
    comparison = compare_rows(
        result.rows, result.not_run, frame_rate_hz=rate, baseline=DEFAULT_BASELINE
    )
    console = Console()
    progress.clear()
    print_answers(comparison, console if console.is_terminal else Console(width=NARROW))


def print_result(
    result: BenchmarkResult, baseline: tuple[str, str] | None = None, *, verbose: bool = False
) -> None:
    """The comparison of all rows of a result directory."""
    from rich.console import Console

    from zapdeploy.benchmarks.results.comparison import DEFAULT_BASELINE, compare_rows
    from zapdeploy.benchmarks.results.published_ratios import published_ratios
    from zapdeploy.benchmarks.results.table import NARROW, WIDE, print_comparison
    from zapdeploy.benchmarks.results.wide_table import print_more

    comparison = compare_rows(
        result.rows,
        result.not_run,
        frame_rate_hz=result.frame_rate_hz,
        baseline=baseline or DEFAULT_BASELINE,
    )
    console = Console()
    console = console if console.is_terminal else Console(width=NARROW)
    print_comparison(comparison, console, published_ratios(result.rows))
    if verbose:
        print_more(comparison, console if console.is_terminal else Console(width=WIDE))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part for part in (p.strip() for p in text.split(",")) if part)


def read_baseline(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    parts = _listed(text)
    if len(parts) != 2:
        raise UsageError(f"--baseline must be TARGET,PRECISION such as cpu,int8, not '{text}'")
    return parts[0], parts[1]
