"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="A quantized ONNX file.")]
Target = Annotated[
    str, typer.Option("--target", metavar="NAME|FILE.toml", help="A chip: its name or its file.")
]
Batch = Annotated[
    int | None, typer.Option("--batch", help="Frames per batch (default: the file's).")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
FrameRate = Annotated[
    float | None, typer.Option("--frame-rate", metavar="HZ", help="Frames per second that come in.")
]
