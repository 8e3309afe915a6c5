"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zapdeploy.errors import UsageError

if TYPE_CHECKING:
    from zapdeploy.recordings.options import ReadOptions
    from zapdeploy.sim.asked import Level

Model = Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="A quantized ONNX file.")]
Target = Annotated[
    str, typer.Option("--target", metavar="NAME|FILE.toml", help="A chip: its name or its file.")
]
Batch = Annotated[
    int | None, typer.Option("--batch", help="Frames per batch (default: the file's).")
]
Shape = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        metavar="NAME=1,3,224,224",
        help="An input's shape, where the file leaves more open than the batch; once for each.",
    ),
]
Constant = Annotated[
    list[str] | None,
    typer.Option(
        "--constant",
        metavar="NAME=VALUE",
        help="An input that always has this value, such as a sampling rate; once for each.",
    ),
]
Host = Annotated[
    list[str] | None,
    typer.Option(
        "--host",
        metavar="NODE",
        help="A node that the host runs in float, with all before it or all after it (..NODE, "
        "NODE..); repeat for others.",
    ),
]
State = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="INPUT=OUTPUT",
        help="An input that is this output of the frame before, kept on the chip; once for each.",
    ),
]
Chips = Annotated[
    int | None,
    typer.Option("--chips", help="Chips to spread it over (default: as few as it takes)."),
]
Split = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="stages|space|turns",
        help=(
            "Cut the network's layers into stages, or space into boxes: one for each chip, or"
            " (turns) one after the other from the host's memory (default: stages)."
        ),
    ),
]
ChipGrid = Annotated[
    str | None,
    typer.Option("--chip-grid", metavar="1x4x4", help="Chips along each dimension of space."),
]
Passes = Annotated[
    int,
    typer.Option("--passes", help="Passes that make a frame, such as one for each lead time."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say more, name each step, and say what it took.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
FrameRate = Annotated[
    float | None,
    typer.Option("--frame-rate", metavar="HZ", help="Frames that arrive per second."),
]


NeuronCount = Annotated[
    int | None, typer.Option("--neurons", help="The first N (default: all, or the model's).")
]
NeuronList = Annotated[
    Path | None, typer.Option("--neuron-list", metavar="FILE", help="Columns, one per line.")
]
ConnectomePath = Annotated[
    str | None,
    typer.Option("--connectome", metavar="PATH", help="Edges: .csv, .parquet, .npz, .graphml."),
]
NeuronTable = Annotated[
    str | None,
    typer.Option("--neuron-table", metavar="FILE", help="Of a connectome: id, x, y, z, type."),
]
Edges = Annotated[
    str, typer.Option("--edges", help="strict refuses odd edges, tidy puts them right.")
]
LeastSynapses = Annotated[
    float, typer.Option("--least-synapses", metavar="N", help="Leave out edges of fewer.")
]
OrderingMethod = Annotated[
    str | None,
    typer.Option(
        "--ordering",
        help="Of neurons: metis, spectral, cuthill-mckee or none (default: the better).",
    ),
]
SeriesPath = Annotated[
    str | None,
    typer.Option("--path", metavar="NAME", help="The array or series inside a file."),
]
Axes = Annotated[
    str | None,
    typer.Option("--axes", metavar="time,neurons|neurons,time", help="Default: from the shape."),
]
RecordingRate = Annotated[
    float | None,
    typer.Option("--frame-rate", metavar="HZ", help="The recording's, where its file has none."),
]
Unit = Annotated[str | None, typer.Option("--unit", help="Of the traces: dF/F, a.u., ...")]
Neuropil = Annotated[
    float | None,
    typer.Option("--neuropil", metavar="SHARE", help="Neuropil to subtract (suite2p: 0.7)."),
]
Dff = Annotated[
    str | None,
    typer.Option("--dff", metavar="P:S", help="dF/F over the Pth percentile of S seconds before."),
]
BinRate = Annotated[
    float | None,
    typer.Option("--bin-rate", metavar="HZ", help="Bins per second for spikes (default 50)."),
]
Average = Annotated[
    int | None, typer.Option("--average", metavar="N", help="Average every N frames to one.")
]
Nan = Annotated[
    str | None,
    typer.Option("--nan", help="refuse, zero, or interpolate (the last value before)."),
]
NanAsZero = Annotated[bool, typer.Option("--nan-as-zero", help="The same as --nan zero.")]
Stimuli = Annotated[
    str | None,
    typer.Option("--stimuli", metavar="FILE", help="Covariates known before their frame."),
]
Behavior = Annotated[
    str | None,
    typer.Option("--behavior", metavar="FILE", help="Covariates known at their frame."),
]
Conditions = Annotated[
    str | None,
    typer.Option(
        "--conditions",
        metavar="TABLE|NAME",
        help="CSV or TOML: name,start,stop,held_out; or intervals of an NWB file.",
    ),
]
HoldOut = Annotated[
    list[str] | None,
    typer.Option("--hold-out", metavar="NAME", help="A condition not to train on; repeatable."),
]
AllRois = Annotated[bool, typer.Option("--all-rois", help="ROIs that are no cells, too.")]


def read_options(
    path: str | None = None,
    axes: str | None = None,
    frame_rate: float | None = None,
    unit: str | None = None,
    neuropil: float | None = None,
    dff: str | None = None,
    bin_rate: float | None = None,
    average: int | None = None,
    nan: str | None = None,
    nan_as_zero: bool = False,
    stimuli: str | None = None,
    behavior: str | None = None,
    conditions: str | None = None,
    hold_out: list[str] | None = None,
    all_rois: bool = False,
) -> ReadOptions:
    """The options of a recording, as they were given."""
    from zapdeploy.recordings.options import ReadOptions

    if nan_as_zero and nan not in (None, "zero"):
        raise UsageError(f"--nan-as-zero and --nan {nan} must not be given together; choose one")
    return ReadOptions(
        path=path,
        axes=axes,
        frame_rate_hz=frame_rate,
        unit=unit,
        neuropil=neuropil,
        dff=dff,
        bin_rate_hz=bin_rate,
        average=average,
        nan="zero" if nan_as_zero else nan or "refuse",
        stimuli=stimuli,
        behavior=behavior,
        conditions=conditions,
        hold_out=tuple(hold_out or ()),
        all_rois=all_rois,
    )


def level_of(text: str) -> Level:
    """The level of --level where values are not run."""
    if text not in ("timing", "estimate"):
        raise UsageError(f"--level must be timing or estimate, not '{text}'")
    return "timing" if text == "timing" else "estimate"


def state_pairs(given: list[str] | None) -> dict[str, str]:
    """Input names and output names of --state."""
    found = {}
    for pair in given or ():
        before, _, after = pair.partition("=")
        if not before or not after:
            raise UsageError(f"--state must be INPUT=OUTPUT, not '{pair}'")
        found[before] = after
    return found


def shapes_of(given: list[str] | None) -> dict[str, tuple[int, ...]]:
    """Input names and lengths of --shape. Names may hold an equals sign."""
    found = {}
    for text in given or ():
        name, _, lengths = text.rpartition("=")
        parts = lengths.replace("x", ",").split(",") if lengths else []
        if not name or not all(part.strip().isdecimal() for part in parts):
            raise UsageError(f"--shape must be NAME=1,3,224,224, not '{text}'")
        found[name] = tuple(int(part) for part in parts)
    return found


def constants_of(given: list[str] | None) -> dict[str, float]:
    """Input names and values of --constant."""
    found = {}
    for text in given or ():
        name, _, value = text.rpartition("=")
        try:
            found[name] = float(value)
        except ValueError:
            name = ""
        if not name:
            raise UsageError(f"--constant must be NAME=NUMBER, not '{text}'")
    return found


def voxels(option: str, text: str) -> tuple[int, int, int]:
    """Depth, height and width from "72,1152,2048"."""
    sizes = text.split(",")
    if len(sizes) != 3 or not all(size.strip().isdigit() for size in sizes):
        raise UsageError(
            f"{option} must be depth, height and width as in 72,1152,2048, not '{text}'"
        )
    depth, height, width = map(int, sizes)
    return depth, height, width
