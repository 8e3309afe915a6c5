"""zapdeploy targets list | show NAME | check FILE.toml"""

from __future__ import annotations

from typing import Annotated

import typer

from zapdeploy.cli import options, show

_verbs = typer.Typer(
    help="Chips: list them, show their numbers, check a file.", no_args_is_help=True
)


def add_to(app: typer.Typer) -> None:
    app.add_typer(_verbs, name="targets")


@_verbs.command("list")
def _list(
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """List the chips that come with zapdeploy. Example: zapdeploy targets list"""
    from zapdeploy.hardware_targets import built_in_names, load_target

    targets = [load_target(name) for name in built_in_names()]
    if as_json:
        show.print_json([{"name": t.name, "summary": t.summary} for t in targets])
        return 0
    rows = [(t.name, t.summary) for t in targets]
    show.print_table(show.table("", ("target", "what it is"), rows))
    return 0


@_verbs.command("show")
def _show(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE.toml", help="A chip.")],
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Show every number of a chip with its kind. Example: zapdeploy targets show northpole-sim"""
    from zapdeploy.hardware_targets import load_target

    target = load_target(name)
    figures = dict(target.figures())
    if as_json:
        numbers = {key: f.model_dump(exclude_none=True) for key, f in figures.items()}
        show.print_json({"name": target.name, "summary": target.summary, "figures": numbers})
        return 0
    rows = [
        (
            key,
            f.text,
            f.kind,
            _off_by(f.low, f.value, f.high),
            f.source or "",
            f.why or f.derivation or f.note or "",
        )
        for key, f in figures.items()
    ]
    columns = ("key", "value", "kind", "may be off by", "source", "why")
    show.print_table(show.table(f"{target.name}: {target.summary}", columns, rows))
    return 0


@_verbs.command("check")
def _check(
    file: Annotated[str, typer.Argument(metavar="FILE.toml", help="A chip's file.")],
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Check a chip's file: keys, units, provenance, totals.

    Example: zapdeploy targets check my.toml
    """
    from zapdeploy.hardware_targets import load_target

    target = load_target(file)
    kinds = [figure.kind for _, figure in target.figures()]
    by_kind = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    if as_json:
        show.print_json({"name": target.name, "valid": True, "figures": by_kind})
        return 0
    listed = ", ".join(f"{n} {kind}" for kind, n in by_kind.items())
    print(
        f"{target.name} is valid: {len(kinds)} numbers ({listed}),"
        f" {len(target.totals)} totals agree"
    )
    return 0


def _off_by(low: float, value: float, high: float) -> str:
    if low == high or not value:
        return ""
    return f"-{1 - low / value:.0%} +{high / value - 1:.0%}"
