"""zapdeploy doctor"""

from __future__ import annotations

from typing import Annotated

import typer

from zapdeploy.cli import options, show


def add_to(app: typer.Typer) -> None:
    app.command("doctor", help=_doctor.__doc__)(_doctor)


def _doctor(
    set_up_lava: Annotated[
        bool, typer.Option("--set-up-lava", help="Make Lava's own environment where it is missing.")
    ] = False,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Say what this machine has: versions, processors, GPU, energy meters, Lava's interpreter.

    Example: zapdeploy doctor
    """
    from zapdeploy.machine import examine
    from zapdeploy.sim.sigma_delta import environment

    if set_up_lava:
        environment.set_up_lava()
    found = examine() | {"Lava (Loihi 2)": environment.describe()}
    if as_json:
        show.print_json(found)
        return 0
    rows = [(key, str(value)) for key, value in found.items()]
    show.print_table(show.table("", ("what", "found"), rows))
    return 0
