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
Folder = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where results are.")]


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
