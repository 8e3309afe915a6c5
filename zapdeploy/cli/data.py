"""zapdeploy data show PATH"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zapdeploy.cli import options, show
from zapdeploy.errors import UsageError

_verbs = typer.Typer(help="Recordings: what they are.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    app.add_typer(_verbs, name="data")


@_verbs.callback()
def _group() -> None:
    """Recordings: what they are."""


@_verbs.command("show")
def _show(
    data: Annotated[
        str, typer.Argument(metavar="PATH|URL|synthetic|zapbench", help="A recording.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="PAGE.html|PICTURE.png", help="With a picture."),
    ] = None,
    context: Annotated[int, typer.Option("--context", help="Of the windows counted.")] = 16,
    horizon: Annotated[int, typer.Option("--horizon", help="Of the windows counted.")] = 32,
    neurons: options.NeuronCount = None,
    neuron_list: options.NeuronList = None,
    path: options.SeriesPath = None,
    axes: options.Axes = None,
    frame_rate: options.RecordingRate = None,
    unit: options.Unit = None,
    neuropil: options.Neuropil = None,
    dff: options.Dff = None,
    bin_rate: options.BinRate = None,
    average: options.Average = None,
    nan: options.Nan = "zero",
    stimuli: options.Stimuli = None,
    behavior: options.Behavior = None,
    conditions: options.Conditions = None,
    hold_out: options.HoldOut = None,
    all_rois: options.AllRois = False,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Say what a recording is: size, rate, unit, values, splits, and what is odd about it.

    Example: zapdeploy data show suite2p/plane0 -o recording.html
    """
    from zapdeploy.files import atomic_write
    from zapdeploy.recordings.facts import recording_facts
    from zapdeploy.recordings.recording import open_recording, read_neuron_list

    if output is not None and output.suffix not in (".html", ".png"):
        raise UsageError(f"--output must end in .html or .png, not '{output.name}'")
    reading = options.read_options(
        path, axes, frame_rate, unit, neuropil, dff, bin_rate, average, nan, False, stimuli,
        behavior, conditions, hold_out, all_rois,
    )  # fmt: skip
    chosen = neurons if neuron_list is None else read_neuron_list(neuron_list)
    with show.progress(not as_json) as progress:
        recording = open_recording(data, chosen, options=reading, progress=progress)
    facts = recording_facts(recording, context, horizon)
    if output is not None:
        from zapdeploy.recordings.page import recording_page
        from zapdeploy.recordings.picture import draw_recording

        picture = draw_recording(recording)
        page = recording_page(facts, picture).encode() if output.suffix == ".html" else picture
        with atomic_write(output) as file:
            file.write(page)
    if as_json:
        show.print_json(facts.as_json())
        return 0
    width = max(len(name) for name, _ in facts.lines)
    for name, value in facts.lines:
        print(f"{name:<{width}}  {value}")
    for warning in facts.warnings:
        print(f"warning: {warning}")
    if output is not None:
        print(f"wrote {output}")
    return 0
