"""zapdeploy compare RESULT..."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zapdeploy.cli import options, show

if TYPE_CHECKING:
    from zapdeploy.benchmarks.results.changes import Change, Changes


def add_to(app: typer.Typer) -> None:
    app.command("compare", help=_compare.__doc__)(_compare)


def _compare(
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULT...", help="Directories made by bench.")
    ],
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline", metavar="TARGET,PRECISION", help="The row that ratios are taken to."
        ),
    ] = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Show one result directory, or what changed from the first to the others beyond noise.

    Exit status 1 when something got worse. Example: zapdeploy compare before after
    """
    from zapdeploy.benchmarks import load_result
    from zapdeploy.benchmarks.results.changes import compare_results
    from zapdeploy.cli.bench import print_result, read_baseline

    loaded = [load_result(path) for path in results]
    if len(loaded) == 1:
        if as_json:
            show.print_json(loaded[0].as_json())
        else:
            print_result(loaded[0], read_baseline(baseline), verbose=verbose)
        return 0
    compared = compare_results(loaded)
    if as_json:
        show.print_json([changes.as_json() for changes in compared])
    else:
        for changes in compared:
            show.print_table(_table(changes, verbose))
    return 1 if any(changes.regressed for changes in compared) else 0


def _table(changes: Changes, verbose: bool) -> Any:
    from zapdeploy.benchmarks.results.changes import Verdict

    shown = [c for c in changes.changes if verbose or c.verdict is not Verdict.SAME]
    quiet = len(changes.changes) - len(shown)
    title = f"{changes.before} -> {changes.after}"
    if quiet:
        title += f" ({quiet} figures unchanged within noise: -v shows them)"
    columns = ("row", "figure", "before", "after", "change", "noise", "verdict")
    return show.table(title, columns, [_row(change) for change in shown])


def _row(change: Change) -> tuple[str, ...]:
    after = "" if change.after is None else f"{change.after:.4g}"
    relative = "" if change.change is None else f"{change.change:+.1%}"
    verdict = change.verdict.value + (f": {change.note}" if change.note else "")
    before, noise = f"{change.before:.4g}", f"{change.noise:.1%}"
    return change.label, change.quantity, before, after, relative, noise, verdict
