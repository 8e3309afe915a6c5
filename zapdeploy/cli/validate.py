"""zapdeploy validate"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zapdeploy.cli import options, show


def add_to(app: typer.Typer) -> None:
    app.command("validate", help=_validate.__doc__)(_validate)


def _validate(
    models: Annotated[
        Path | None,
        typer.Option("--models", metavar="DIR", help="Keep the network made for it here."),
    ] = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Simulated against published, row by row; exit status 1 when one leaves its interval.

    Example: zapdeploy validate
    """
    from zapdeploy.commands.validate import validate

    with show.progress(not as_json) as progress:
        found = validate(models, progress=progress)
    if as_json:
        show.print_json(found.as_json())
    else:
        show.print_answer(found)
        print(
            "Judged are published figures that nothing here was fitted to and that the chip's file"
            " does not state itself: each must lie in its interval."
        )
    return 0 if found.passed else 1
