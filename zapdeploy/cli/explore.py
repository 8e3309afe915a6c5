"""zapdeploy explore SPEC.toml -o DIR | explore query DIR SQL"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from zapdeploy.cli import options, show


class _SpecFirst(TyperGroup):
    """A group whose first argument may be a spec: then it is `run` that is meant."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            args = ["run", *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0].startswith("-") and not {"-h", "--help"} & set(args):
            args = ["run", *args]  # options before the spec
        return super().parse_args(ctx, args)


_commands = typer.Typer(
    cls=_SpecFirst,
    help="Thousands of points, chips by networks by precisions: explore SPEC.toml -o DIR.",
    no_args_is_help=True,
)
Folder = Annotated[
    Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of the results.")
]


def add_to(app: typer.Typer) -> None:
    app.add_typer(_commands, name="explore")


@_commands.command("run")
def _run(
    spec: Annotated[Path, typer.Argument(metavar="SPEC.toml", help="Axes, and what to compute.")],
    output: Folder,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Processes (default: one for each core).")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="ADDRESS", help="A Dask scheduler to use instead."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what there is to do, and stop.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Compute points again that failed or were ended.")
    ] = False,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Compute every point of a spec that the folder does not have yet.

    `explore SPEC.toml` is short for this. Example: zapdeploy explore widths.toml -o out
    """
    from zapdeploy.explore.exploring import explore, plan_exploration

    if dry_run:
        plan = plan_exploration(spec, output, retry=retry)
        if as_json:
            show.print_json(plan.as_json())
        else:
            show.print_answer(plan)
        return 0
    with show.progress(not as_json) as progress:
        found = explore(
            spec, output, workers=workers, scheduler=scheduler, retry=retry, progress=progress
        )
    if as_json:
        show.print_json(found.as_json())
    else:
        show.print_answer(found)
        print(", ".join(f"{number:,} {status}" for status, number in found.counts.items()))
    return 0 if found.counts.get("done") else 1


@_commands.command("query")
def _query(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of explore.")],
    sql: Annotated[str, typer.Argument(metavar="SQL", help="A query; the newest table is points.")],
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE.csv", help="Write the rows to this file, too."),
    ] = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Ask an exploration's tables in SQL, by DuckDB.

    Example: zapdeploy explore query out "select model, min(latency_s) from points group by model"
    """
    from zapdeploy.explore.query import query
    from zapdeploy.explore.table import save_csv

    found = query(folder, sql)
    if csv is not None:
        save_csv(found.records(), csv)
    if as_json:
        show.print_json({"columns": list(found.columns), "rows": _jsonable(found.records())})
    else:
        show.print_answer(found)
    return 0


def _jsonable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows whose values JSON has: an infinite number or a date becomes text."""
    import math

    def plain(value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)
        return value if isinstance(value, str | int | float | bool | list | None) else str(value)

    return [{key: plain(value) for key, value in row.items()} for row in rows]


@_commands.command("page")
def _page(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of explore.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="PAGE.html", help="The page to write (default: in DIR)."
        ),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option("--table", metavar="NAME", help="Table of this spec (default: the newest)."),
    ] = None,
    minimize: Annotated[
        list[str] | None,
        typer.Option("--minimize", metavar="COLUMN", help="Less is better; repeatable."),
    ] = None,
    maximize: Annotated[
        list[str] | None,
        typer.Option("--maximize", metavar="COLUMN", help="More is better; repeatable."),
    ] = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Draw fronts with intervals, all points side by side, and what each axis does.

    Example: zapdeploy explore page out --minimize latency_s --minimize energy_per_frame_j
    """
    from zapdeploy.explore.page import write_page

    path = write_page(folder, output, table=table, minimize=minimize or (), maximize=maximize or ())
    if as_json:
        show.print_json({"page": str(path)})
    else:
        print(f"wrote {path}")
    return 0
