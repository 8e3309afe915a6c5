"""zapdeploy evaluate MODEL... --data synthetic|PATH|URL"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zapdeploy.cli import options, show
from zapdeploy.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zapdeploy.benchmarks.accuracy.evaluation import Evaluated, Verdict
    from zapdeploy.benchmarks.accuracy.seed_comparison import Errors
    from zapdeploy.recordings.recording import Neurons, Recording


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
        str,
        typer.Option("--data", metavar="PATH|URL|synthetic|zapbench", help="The recording."),
    ],
    neurons: options.NeuronCount = None,
    neuron_list: options.NeuronList = None,
    windows: Annotated[
        int | None,
        typer.Option("--windows", help="At most N of each condition (default: all)."),
    ] = None,
    horizon: Annotated[
        int | None, typer.Option("--horizon", help="Frames, where only baselines are given.")
    ] = None,
    simulate: Annotated[
        bool,
        typer.Option("--simulate", help="Quantized ONNX files in the functional simulator too."),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", metavar="FILE.html", help="Draw the error over the horizon and per neuron."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE.json", help="Write every number here."),
    ] = None,
    path: options.SeriesPath = None,
    axes: options.Axes = None,
    frame_rate: options.RecordingRate = None,
    unit: options.Unit = None,
    neuropil: options.Neuropil = None,
    dff: options.Dff = None,
    bin_rate: options.BinRate = None,
    average: options.Average = None,
    nan: options.Nan = None,
    nan_as_zero: options.NanAsZero = False,
    stimuli: options.Stimuli = None,
    behavior: options.Behavior = None,
    conditions: options.Conditions = None,
    hold_out: options.HoldOut = None,
    all_rois: options.AllRois = False,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Forecast the test windows and compare: error per condition and step, float and quantized.

    Beside every model stand the naive mean, the last value and a linear autoregression of each
    neuron; what a trained forecaster was read with is taken from it. Of folders trained from
    several seeds, the first is compared with each of the others.

    Example: zapdeploy evaluate trained/ int8.onnx int4.onnx mean --data recording.nwb --simulate
    """
    from zapdeploy.benchmarks.accuracy.contenders import STIMULUS, neurons_to_read
    from zapdeploy.benchmarks.accuracy.evaluation import (
        evaluate_baselines,
        evaluate_models,
        verdicts,
    )
    from zapdeploy.benchmarks.accuracy.seed_comparison import compare_seeds, seed_errors
    from zapdeploy.benchmarks.accuracy.training_data import options_to_read
    from zapdeploy.recordings.recording import open_recording, read_neuron_list

    if neurons is not None and neuron_list is not None:
        raise UsageError("--neurons and --neuron-list must not be given together; choose one")
    if windows is not None and windows < 1:
        raise UsageError(f"--windows must be at least 1, not {windows}; leave it out for all")
    if neuron_list is not None:
        chosen: Neurons = read_neuron_list(neuron_list)
    else:
        chosen = neurons if neurons is not None else neurons_to_read(models)
    given = options.read_options(
        path, axes, frame_rate, unit, neuropil, dff, bin_rate, average, nan, nan_as_zero, stimuli,
        behavior, conditions, hold_out, all_rois,
    )  # fmt: skip
    with show.progress() as progress:
        recording = open_recording(
            data, chosen, options=options_to_read(models, given), progress=progress
        )
        response = _response(data, recording) if STIMULUS in models else None
        found = evaluate_models(
            models,
            recording,
            windows=windows,
            simulate=simulate,
            response=response,
            horizon=horizon,
            progress=progress,
        )
        beside = evaluate_baselines(recording, found, windows=windows, progress=progress)
        judged = verdicts(found, beside[0])
        errors = seed_errors(models, recording, windows)
    spreads, compared = _spreads(errors), compare_seeds(errors)
    document = _document(found, beside, judged, spreads, recording)
    document["seed_comparisons"] = [one.as_json() for one in compared]
    if output is not None:
        show.write(output, json.dumps(document, indent=2))
    if plot is not None:
        from zapdeploy.benchmarks.accuracy.error_plots import error_page

        show.write(plot, error_page(found, beside, judged, recording))
    if as_json:
        show.print_json(document)
        return 0
    _print(found, beside, judged, spreads, recording)
    scale = _scale(recording, [*found, *beside])[0]
    for one in compared:
        interval = f"{scale * one.low:+.3g} to {scale * one.high:+.3g} at 95 %"
        print(
            f"{one.text}: {scale * one.difference:+.3g} ({interval}, {one.seeds[0]} and "
            f"{one.seeds[1]} seeds, p = {one.p_value:.2g})"
        )
    print("\n".join(f"wrote {path}" for path in (output, plot) if path is not None))
    return 0


def _document(
    found: list[Evaluated],
    beside: list[Evaluated],
    judged: list[Verdict],
    spreads: dict[str, Any],
    recording: Recording,
) -> dict[str, Any]:
    return {
        "data": recording.source,
        "synthetic": recording.is_synthetic,
        "recording": recording.description.as_json(),
        "unit": recording.unit,
        "neurons": recording.neurons,
        "models": [entry.as_json() for entry in found],
        "baselines": [entry.as_json() for entry in beside],
        "against_naive_mean": [verdict.as_json() for verdict in judged],
        "seeds": spreads,
    }


def _spreads(errors: dict[str, Errors]) -> dict[str, dict[str, list[float]]]:
    """Of models with several seeds: the least and the most error of a seed at each step."""
    return {
        model: {
            "low": [min(step) for step in zip(*seeds, strict=True)],
            "high": [max(step) for step in zip(*seeds, strict=True)],
        }
        for model, seeds in errors.items()
    }


def _response(data: str, recording: Recording) -> Any:
    """The recording's own stimulus-evoked response, or None where it brings none."""
    from zapdeploy.recordings import stores
    from zapdeploy.recordings.recording import ZAPBENCH
    from zapdeploy.recordings.zapbench import STIMULUS_RESPONSE, ZAPBENCH_URL
    from zapdeploy.recordings.zapbench_extras import read_response

    location = ZAPBENCH_URL if data == ZAPBENCH else data
    if not recording.is_zapbench or recording.is_synthetic or recording.columns is None:
        return None
    if not stores.has_store(location, STIMULUS_RESPONSE):
        return None
    return read_response(location, recording.columns)


def shown_steps(horizon: int) -> tuple[int, ...]:
    """Steps that a table has columns for: 1, 4, 8, 16, 32, ... and the last."""
    steps = {1, horizon} | {h for h in (4, 8, 16, 32, 64, 128) if h <= horizon}
    return tuple(sorted(steps))


def _print(
    found: list[Evaluated],
    beside: list[Evaluated],
    judged: list[Verdict],
    spreads: dict[str, Any],
    recording: Recording,
) -> None:
    kind = "synthetic data" if recording.is_synthetic else recording.source
    first = found[0].scores
    scale, unit = _scale(recording, [*found, *beside])
    title = (
        f"MAE{unit} at step h, mean over {_counted(len(first.trained), 'condition')}, held-out "
        f"{', '.join(s.name for s in first.conditions if s.held_out) or 'none'} apart; "
        f"{recording.neurons:,} neurons, {kind}"
    )
    steps = shown_steps(len(first.mae))
    columns = ("model", "runs in", "bits", "context", *(f"h={h}" for h in steps), "held out")
    rows = [_row(entry, steps, scale) for entry in [*found, *beside]]
    show.print_table(show.table(title, columns, rows))
    if len(first.conditions) > 1:
        _print_conditions(found, scale, unit)
    for entry in found:
        if entry.scores.nan_share:
            share = f"{entry.scores.nan_share:.2%}"
            print(f"{entry.contender.model}: {share} of the forecasts are NaN and count as 0")
    _print_verdicts(judged, found, spreads, scale)


def _print_conditions(found: list[Evaluated], scale: float, unit: str) -> None:
    names = [score.name for score in found[0].scores.conditions]
    rows = [
        (
            entry.contender.model,
            entry.contender.runner,
            *(_number(sum(s.mae) / len(s.mae), scale) for s in entry.scores.conditions),
        )
        for entry in found
    ]
    steps = len(found[0].scores.mae)
    title = f"MAE{unit}, mean over the {steps} steps, by condition"
    show.print_table(show.table(title, ("model", "runs in", *names), rows))


def _print_verdicts(
    judged: list[Verdict], found: list[Evaluated], spreads: dict[str, Any], scale: float
) -> None:
    """What was asked: is it better than the naive mean, how sure, and for which neurons."""
    from zapdeploy.forecasters.intervals import FEW, stretches

    for verdict in judged:
        neurons = verdict.neurons
        count = len(neurons.skill)
        print(
            f"{verdict.model} ({verdict.runner}) {verdict.text}; mean difference "
            f"{_signed(verdict.difference, scale)} ({_signed(verdict.low, scale)} to "
            f"{_signed(verdict.high, scale)} at 95 %); helps {len(neurons.better)} of {count} "
            f"neurons for sure, harms {len(neurons.worse)}"
        )
    for model, spread in spreads.items():
        low, high = (sum(spread[k]) / len(spread[k]) for k in ("low", "high"))
        print(f"{model}: seeds from {_number(low, scale)} to {_number(high, scale)}, mean of steps")
    if judged and (independent := stretches(found[0].scores)) < FEW:
        print(
            f"the test split holds {_counted(independent, 'window')} that share no frame: "
            "intervals say little"
        )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _scale(recording: Recording, entries: list[Evaluated]) -> tuple[float, str]:
    """What numbers are multiplied by, and how a title says it: thousandths of small units."""
    named = "" if recording.unit in ("", "a.u.", "dF/F") else f" ({recording.unit})"
    largest = max(max(entry.scores.mae) for entry in entries)
    return (1000.0, f" x 1000{named}") if largest < 1 else (1.0, named)


def _row(entry: Evaluated, steps: tuple[int, ...], scale: float) -> tuple[str, ...]:
    contender, scores = entry.contender, entry.scores
    held_out = [sum(s.mae) / len(s.mae) for s in scores.conditions if s.held_out]
    return (
        contender.model,
        contender.runner,
        contender.precision,
        str(contender.context),
        *(_number(scores.mae[h - 1], scale) for h in steps),
        _number(sum(held_out) / len(held_out), scale) if held_out else "-",
    )


def _number(value: float, scale: float) -> str:
    return f"{scale * value:.2f}" if scale > 1 else f"{value:.4g}"


def _signed(values: Sequence[float], scale: float) -> str:
    return f"{scale * sum(values) / len(values):+.3g}"
