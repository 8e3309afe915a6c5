"""zapdeploy targets list | show NAME | check FILE.toml | sensitivity MODEL.onnx"""

from __future__ import annotations

from typing import Annotated

import typer

from zapdeploy.cli import options, show
from zapdeploy.errors import UsageError

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


@_verbs.command("sensitivity")
def _sensitivity(
    model: options.Model,
    target: options.Target = "northpole-sim",
    batch: Annotated[int, typer.Option("--batch", help="Frames per run.")] = 32,
    scheduled: Annotated[
        bool,
        typer.Option("--scheduled", help="Cycles of the schedule, not of the estimate (slower)."),
    ] = False,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Set every assumed number of a chip to both ends of its error, one at a time.

    Example: zapdeploy targets sensitivity resnet50-int4.onnx --batch 32
    """
    from zapdeploy.benchmarks.simulated.sensitivity import sensitivity, sorted_by_effect

    if batch < 1:
        raise UsageError(f"--batch must be at least 1, not {batch}")
    with show.progress(not as_json) as progress:
        found = sensitivity(model, target, batch=batch, scheduled=scheduled, progress=progress)
    if as_json:
        show.print_json(found.as_json())
        return 0
    rows = [
        (
            effect.key,
            effect.stated,
            *(_change(fps, found.frames_per_s) for fps in effect.frames_per_s),
            *(_change(joules, found.energy_j) for joules in effect.energy_j),
        )
        for effect in sorted_by_effect(found)
    ]
    columns = ("number", "stated", *("frames/s, low", "high"), *("energy, low", "high"))
    level = "scheduled" if scheduled else "estimated"
    title = f"{found.model} on {found.target}, batch {batch}: {found.frames_per_s:,.0f} frames/s"
    show.print_table(show.table(f"{title}, {level}", columns, rows))
    low, high = found.interval_fps
    print(f"all together (root of the sum of squares): {low:,.0f} to {high:,.0f} frames/s")
    return 0


def _change(value: float | None, stated: float) -> str:
    if value is None:
        return "does not fit"
    share = value / stated - 1
    return "" if abs(share) < 5e-5 else f"{share:+.2%}"
