"""zapdeploy doctor"""

from __future__ import annotations

import typer

from zapdeploy.cli import options, show


def add_to(app: typer.Typer) -> None:
    app.command("doctor", help=_doctor.__doc__)(_doctor)


def _doctor(
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Say what this machine has: versions, processors, GPU, energy meters.

    Example: zapdeploy doctor
    """
    from zapdeploy.machine import examine

    found = examine()
    if as_json:
        show.print_json(found)
        return 0
    rows = [(key, str(value)) for key, value in found.items()]
    show.print_table(show.table("", ("what", "found"), rows))
    return 0
