"""zapdeploy data show PATH; zapdeploy data synthesize -o DIR; synthesize-volume"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zapdeploy.cli import options, show
from zapdeploy.errors import UsageError

if TYPE_CHECKING:
    from zapdeploy.connectomes.options import EdgeOptions

_verbs = typer.Typer(help="Recordings and connectomes: what they are.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    app.add_typer(_verbs, name="data")


@_verbs.callback()
def _group() -> None:
    """Recordings and connectomes: what they are."""


@_verbs.command("show")
def _show(
    data: Annotated[
        str, typer.Argument(metavar="PATH|URL|synthetic|zapbench", help="A recording, or edges.")
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
    neuron_table: options.NeuronTable = None,
    edges: options.Edges = "strict",
    least_synapses: options.LeastSynapses = 0.0,
    ordering: options.OrderingMethod = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Say what a recording is: size, rate, unit, values, splits, and what is odd about it.

    Of a connectome (edges as .csv, .parquet, .npz, .graphml, or a folder with them): neurons,
    edges, signs, degrees, and how the edges gather in blocks.

    Example: zapdeploy data show suite2p/plane0 -o recording.html
    """
    from zapdeploy.connectomes.options import EdgeOptions
    from zapdeploy.connectomes.reading import is_connectome
    from zapdeploy.files import atomic_write
    from zapdeploy.recordings.facts import recording_facts
    from zapdeploy.recordings.recording import open_recording, read_neuron_list

    if output is not None and output.suffix not in (".html", ".png"):
        raise UsageError(f"--output must end in .html or .png, not '{output.name}'")
    if is_connectome(data):
        wiring = EdgeOptions(neuron_table, edges, least_synapses)
        return _show_connectome(data, wiring, ordering, output, as_json)
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
    _say(facts.lines, facts.warnings, output)
    return 0


def _say(lines: Sequence[tuple[str, str]], warnings: Sequence[str], output: Path | None) -> None:
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        print(f"{name:<{width}}  {value}")
    for warning in warnings:
        print(f"warning: {warning}")
    if output is not None:
        print(f"wrote {output}")


def _show_connectome(
    data: str, wiring: EdgeOptions, method: str | None, output: Path | None, as_json: bool
) -> int:
    from zapdeploy.connectomes.facts import connectome_facts
    from zapdeploy.connectomes.picture import draw_connectome
    from zapdeploy.connectomes.reading import open_connectome
    from zapdeploy.files import atomic_write
    from zapdeploy.recordings.page import picture_page

    facts = connectome_facts(open_connectome(data, wiring), method)
    if output is not None:
        picture = draw_connectome(facts)
        alternative = "Degrees, distances, and the matrix before and after ordering"
        page = picture_page("Connectome", facts.lines, (), picture, alternative).encode()
        with atomic_write(output) as file:
            file.write(page if output.suffix == ".html" else picture)
    if as_json:
        show.print_json(facts.as_json())
        return 0
    _say(facts.lines, (), output)
    return 0


@_verbs.command("synthesize")
def _synthesize(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="connectome/ and recording.npy.")
    ],
    neurons: Annotated[int, typer.Option("--neurons", help="Of the made connectome.")] = 500,
    degree: Annotated[
        float | None, typer.Option("--degree", help="Edges per neuron (default: 5 %, up to 209).")
    ] = None,
    frames: Annotated[int, typer.Option("--frames", help="Of the recording.")] = 5000,
    connectome: Annotated[
        str | None,
        typer.Option(
            "--connectome", metavar="PATH", help="Make activity by this one, not by a new one."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    neuron_table: options.NeuronTable = None,
    edges: options.Edges = "strict",
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Make a connectome, and a recording whose activity is made by it, so that the truth is known.

    Example: zapdeploy data synthesize --neurons 500 --frames 5000 -o made
    """
    import numpy as np

    from zapdeploy.connectomes.activity import synthetic_activity
    from zapdeploy.connectomes.options import EdgeOptions
    from zapdeploy.connectomes.reading import open_connectome
    from zapdeploy.connectomes.saving import save_connectome
    from zapdeploy.connectomes.synthetic import Plan, default_degree, synthetic_connectome
    from zapdeploy.files import atomic_write

    if connectome is not None:
        wiring = open_connectome(connectome, EdgeOptions(neuron_table, edges))
    else:
        plan = Plan(neurons, default_degree(neurons) if degree is None else degree, seed)
        wiring = synthetic_connectome(plan)
    with show.progress(not as_json) as progress:
        traces = synthetic_activity(wiring, frames, seed, progress)
    output.mkdir(parents=True, exist_ok=True)
    if connectome is None:
        save_connectome(wiring, output / "connectome")
    with atomic_write(output / "recording.npy") as file:
        np.save(file, traces)
    document = {
        "folder": str(output),
        "connectome": connectome or str(output / "connectome"),
        "recording": str(output / "recording.npy"),
        "neurons": wiring.neurons,
        "edges": wiring.edges,
        "frames": frames,
        "axes": "time,neurons",
        "synthetic": True,
        "seed": seed,
    }
    if as_json:
        show.print_json(document)
        return 0
    print(
        f"wrote {document['recording']} ({frames:,} frames, {wiring.neurons:,} neurons, synthetic)"
    )
    if frames < wiring.neurons:
        print("  fewer frames than neurons: read it with --axes time,neurons")
    if connectome is None:
        print(f"wrote {document['connectome']} ({wiring.edges:,} edges, synthetic)")
    return 0


@_verbs.command("synthesize-volume")
def _synthesize_volume(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="A recording with its volume.")
    ],
    neurons: Annotated[int, typer.Option("--neurons")] = 128,
    volume: Annotated[
        str, typer.Option("--volume", metavar="D,H,W", help="Depth, height, width in voxels.")
    ] = "8,24,24",
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Make a recording and the imaged volume that its traces are the segments' means of.

    Example: zapdeploy data synthesize-volume --neurons 128 --volume 8,24,24 -o fish
    """
    from zapdeploy.recordings.synthetic_volume import write_synthetic_volume
    from zapdeploy.recordings.zapbench import FRAMES

    shape = options.voxels("--volume", volume)
    with show.progress(not as_json) as progress:
        made = write_synthetic_volume(str(output), neurons, shape, seed, progress)
    owned = float((made.segments > 0).mean())
    document = {
        "folder": str(output), "neurons": neurons, "frames": FRAMES, "volume": list(shape),
        "voxels_of_neurons": owned, "synthetic": True, "seed": seed,
    }  # fmt: skip
    if as_json:
        show.print_json(document)
        return 0
    print(
        f"wrote {output} ({FRAMES:,} frames of {' x '.join(map(str, shape))} voxels, {neurons:,} "
        f"neurons in {owned:.0%} of them, synthetic)"
    )
    return 0
