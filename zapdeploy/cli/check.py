"""zapdeploy check MODEL.onnx"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from zapdeploy.cli import options, show
from zapdeploy.text import one_line

if TYPE_CHECKING:
    from zapdeploy.api import ModelCheck


def add_to(app: typer.Typer) -> None:
    app.command("check", help=_check.__doc__)(_check)


def _check(
    model: options.Model,
    target: options.Target = "northpole-sim",
    batch: options.Batch = None,
    shape: options.Shape = None,
    constant: options.Constant = None,
    host: options.Host = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Say what becomes of every node, and whether the network fits, before any long work.

    A float file is judged as zapdeploy quantize would make it at 8 bits.

    Example: zapdeploy check model.onnx --target northpole-sim
    """
    from zapdeploy.api import check_model

    shapes, constants = options.shapes_of(shape), options.constants_of(constant)
    with tempfile.TemporaryDirectory() as folder:
        if host:
            from zapdeploy.commands.on_host import split_for_host
            from zapdeploy.simplify import InputShapes

            part = Path(folder, model.name)
            split_for_host(model, host, part, InputShapes(None, shapes, constants))
            model, shapes, constants = part, {}, {}
        found = check_model(model, target, batch=batch, shapes=shapes, constants=constants)
    if as_json:
        show.print_json(found.as_json())
    else:
        _print(found)
    return 0 if found.accepted and found.fits else 1


def _print(found: ModelCheck) -> None:
    if found.decisions:
        show.print_answer(found)
    for note in found.notes:
        print(f"note: {note}")
    if not found.accepted:
        print("refused: " + one_line("; ".join(found.reasons)))
        return
    if not found.quantized:
        print(f"the file is in float; run: zapdeploy quantize {found.model}.onnx")
    print(
        f"{'fits' if found.fits else 'does not fit'} on {found.target}"
        f"{'' if found.quantized else ' once quantized to 8 bits'}:"
        f" {found.parameter_bytes:,} bytes of parameters and programs of"
        f" {found.memory_bytes:,} in all cores"
    )
    if found.violation is not None and found.violation.hints:
        print("Fix: use " + " or ".join(found.violation.hints))
