"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zapdeploy.errors import UsageError

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
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
FrameRate = Annotated[
    float | None, typer.Option("--frame-rate", metavar="HZ", help="Frames per second that come in.")
]


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
