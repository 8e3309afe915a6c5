"""zapdeploy validate"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zapdeploy.cli import options, show

if TYPE_CHECKING:
    from zapdeploy.benchmarks.simulated.validation import Prediction


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
    from zapdeploy.benchmarks.simulated.validation import validate

    with tempfile.TemporaryDirectory() as temporary, show.progress(not as_json) as progress:
        folder = models or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = validate(folder, progress)
    failed = any(prediction.fails for prediction in found)
    if as_json:
        document = {"passed": not failed, "rows": [one.as_json() for one in found]}
        show.print_json(document)
        return int(failed)
    show.print_table(_table(found))
    print("Judged are the rows that are compared: the published figure must lie in the interval.")
    return int(failed)


def _table(found: tuple[Prediction, ...]) -> Any:
    rows = [
        (
            one.what,
            ("over " if one.at_least else "") + _number(one.published, one.unit),
            _number(one.simulated, one.unit),
            f"{_number(one.low, one.unit)} to {_number(one.high, one.unit)}",
            f"{one.error:+.1%}",
            one.role.value,
            _verdict(one),
        )
        for one in found
    ]
    columns = ("", "published", "simulated", "interval", "error", "what it is", "inside")
    return show.table("northpole-sim against what is published", columns, rows)


def _number(value: float, unit: str) -> str:
    if unit in ("", "1/s", "1/J"):
        return show.count(value)
    if unit == "x":
        return f"{value:.1f}x"
    short = {"byte": "B", "byte/second": "B/s", "op/second": "op/s"}
    return show.quantity(value, short.get(unit, unit))


def _verdict(one: Prediction) -> str:
    if one.fails:
        return "NO"
    return "yes" if one.contains else "no, not judged"
