"""zapdeploy evaluate MODEL... --data synthetic|PATH|URL"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zapdeploy.cli import options, show
from zapdeploy.errors import UsageError

if TYPE_CHECKING:
    from zapdeploy.benchmarks.accuracy.evaluation import Evaluated
    from zapdeploy.recordings.recording import Neurons, Recording

SHOWN_STEPS = (1, 4, 8, 16, 32)


def add_to(app: typer.Typer) -> None:
    app.command("evaluate", help=_evaluate.__doc__)(_evaluate)


def _evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Folders from train, .onnx and .zap files, mean, mean:W, stimulus.",
        ),
    ],
    data: Annotated[
        str, typer.Option("--data", metavar="synthetic|zapbench|PATH|URL", help="The recording.")
    ],
    neurons: Annotated[
        int | None, typer.Option("--neurons", help="The first so many (default: the model's own).")
    ] = None,
    neuron_list: Annotated[
        Path | None, typer.Option("--neuron-list", metavar="FILE", help="Columns, one per line.")
    ] = None,
    windows: Annotated[
        int | None,
        typer.Option("--windows", help="At most so many of each condition (default: all 1,557)."),
    ] = None,
    simulate: Annotated[
        bool,
        typer.Option("--simulate", help="Quantized ONNX files in the functional simulator too."),
    ] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.html", help="MAE over the horizon.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.json", help="Every number.")
    ] = None,
    nan_as_zero: Annotated[
        bool, typer.Option("--nan-as-zero", help="Count NaN in the traces as 0.")
    ] = False,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Forecast the test windows and compare: error per condition and step, float and quantized.

    Example: zapdeploy evaluate trained/ int8.onnx int4.onnx mean --data synthetic --simulate
    """
    from zapdeploy.benchmarks.accuracy.contenders import STIMULUS, neurons_to_read
    from zapdeploy.benchmarks.accuracy.evaluation import evaluate_models
    from zapdeploy.recordings.recording import open_recording, read_neuron_list

    if neurons is not None and neuron_list is not None:
        raise UsageError("--neurons and --neuron-list must not be given together; choose one")
    if windows is not None and windows < 1:
        raise UsageError(f"--windows must be at least 1, not {windows}; leave it out for all")
    if neuron_list is not None:
        chosen: Neurons = read_neuron_list(neuron_list)
    else:
        chosen = neurons if neurons is not None else neurons_to_read(models)
    with show.progress() as progress:
        recording = open_recording(
            data,
            chosen,
            nan_as_zero=nan_as_zero,
            progress=progress,
        )
        response = _response(data, recording) if STIMULUS in models else None
        found = evaluate_models(
            models,
            recording,
            windows=windows,
            simulate=simulate,
            response=response,
            progress=progress,
        )
    document = _document(found, recording)
    if output is not None:
        show.write(output, json.dumps(document, indent=2))
    if plot is not None:
        show.write(plot, _plot(found, recording))
    if as_json:
        show.print_json(document)
        return 0
    _print(found, recording)
    print("\n".join(f"wrote {path}" for path in (output, plot) if path is not None))
    return 0


def _document(found: list[Evaluated], recording: Recording) -> dict[str, Any]:
    return {
        "data": recording.source,
        "synthetic": recording.is_synthetic,
        "neurons": recording.neurons,
        "models": [entry.as_json() for entry in found],
    }


def _response(data: str, recording: Recording) -> Any:
    """The recording's own stimulus-evoked response, or None where it brings none."""
    from zapdeploy.recordings import stores
    from zapdeploy.recordings.recording import STIMULUS_RESPONSE, ZAPBENCH, read_response

    location = stores.ZAPBENCH_URL if data == ZAPBENCH else data
    if recording.is_synthetic or recording.columns is None:
        return None
    if not stores.has_store(location, STIMULUS_RESPONSE):
        return None
    return read_response(location, recording.columns)


def _print(found: list[Evaluated], recording: Recording) -> None:
    kind = "synthetic data" if recording.is_synthetic else recording.source
    first = found[0].scores
    title = (
        f"MAE x 1000 at step h, mean over {len(first.trained)} conditions, held-out "
        f"{', '.join(s.name for s in first.conditions if s.held_out) or 'none'} apart; "
        f"{recording.neurons:,} neurons, {kind}"
    )
    columns = ("model", "runs in", "bits", "context", *(f"h={h}" for h in SHOWN_STEPS), "held out")
    show.print_table(show.table(title, columns, [_row(entry) for entry in found]))
    names = [score.name for score in first.conditions]
    rows = [
        (
            entry.contender.model,
            entry.contender.runner,
            *(_thousandths(sum(s.mae) / len(s.mae)) for s in entry.scores.conditions),
        )
        for entry in found
    ]
    by_condition = show.table(
        "MAE x 1000, mean over the 32 steps, by condition", ("model", "runs in", *names), rows
    )
    show.print_table(by_condition)
    for entry in found:
        if entry.scores.nan_share:
            share = f"{entry.scores.nan_share:.2%}"
            print(f"{entry.contender.model}: {share} of the forecasts are NaN and count as 0")


def _row(entry: Evaluated) -> tuple[str, ...]:
    contender, scores = entry.contender, entry.scores
    held_out = [sum(s.mae) / len(s.mae) for s in scores.conditions if s.held_out]
    return (
        contender.model,
        contender.runner,
        contender.precision,
        str(contender.context),
        *(_thousandths(scores.mae[h - 1]) for h in SHOWN_STEPS),
        _thousandths(held_out[0]) if held_out else "-",
    )


def _thousandths(value: float) -> str:
    return f"{1000 * value:.2f}"


def _plot(found: list[Evaluated], recording: Recording) -> str:
    """A page that needs nothing from outside."""
    try:
        import plotly.graph_objects as plotly
    except ModuleNotFoundError as error:
        raise UsageError(
            "plotly must be installed to draw, not missing; run: pip install plotly"
        ) from error
    figure = plotly.Figure()
    for entry in found:
        name = f"{entry.contender.model} ({entry.contender.runner}, {entry.contender.precision})"
        mae = [1000 * value for value in entry.scores.mae]
        figure.add_scatter(x=list(range(1, len(mae) + 1)), y=mae, mode="lines+markers", name=name)
    label = "synthetic data" if recording.is_synthetic else recording.source
    conditions = len(found[0].scores.trained)
    figure.update_layout(
        title=f"Forecast error over the horizon ({label}, mean over {conditions} conditions)",
        xaxis_title="step h (frames of 0.914 s)",
        yaxis_title="mean absolute error x 1000 (dF/F)",
        template="plotly_white",
    )
    page: str = figure.to_html(include_plotlyjs=True, full_html=True)
    return page
