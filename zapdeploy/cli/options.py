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
