"""zapdeploy targets list | show NAME | init NAME | check FILE.toml | sensitivity MODEL.onnx"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from zapdeploy.cli import options, show
from zapdeploy.errors import UsageError

_commands = typer.Typer(
    help="Chips: list them, show their numbers, start a file, check it.", no_args_is_help=True
)


def add_to(app: typer.Typer) -> None:
    app.add_typer(_commands, name="targets")


@_commands.command("list")
def _list(
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """List the chips that come with zapdeploy. Example: zapdeploy targets list"""
    from zapdeploy.hardware_targets import built_in_names, event_driven_names, load_any_target

    targets = [load_any_target(name) for name in (*built_in_names(), *event_driven_names())]
    if as_json:
        rows = [{"name": t.name, "kind": t.kind, "summary": t.summary} for t in targets]
        show.print_json(rows)
        return 0
    listed = [(t.name, t.kind, t.summary) for t in targets]
    show.print_table(show.table("", ("target", "kind", "what it is"), listed))
    return 0


@_commands.command("show")
def _show(
    name: Annotated[str, typer.Argument(metavar="NAME[@POINT]|FILE.toml", help="A chip.")],
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Show every number of a chip with its kind. Example: zapdeploy targets show northpole-sim"""
    from zapdeploy.hardware_targets import load_any_target

    target = load_any_target(name)
    figures, totals = dict(target.figures()), _totals(target)
    if as_json:
        numbers = {key: f.model_dump(exclude_none=True) for key, f in figures.items()}
        head = {"name": target.name, "kind": target.kind, "summary": target.summary}
        show.print_json({**head, "figures": numbers, "totals": totals})
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
    for total, found in totals.items():
        print(f"{total.replace('_', ' ')}: {found['value']:.6g} {found['unit']}".rstrip())
    return 0


def _totals(target: Any) -> dict[str, dict[str, Any]]:
    """What follows from the parts, of chips that have such totals."""
    if target.kind != "core-array":
        return {}
    return {
        name: {"value": value, "unit": unit}
        for name, (unit, value) in target.derived_totals().items()
    }


@_commands.command("check")
def _check(
    file: Annotated[str, typer.Argument(metavar="FILE.toml", help="A chip's file.")],
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Check a chip's file: keys, units, provenance, totals. All mistakes are named at once.

    Example: zapdeploy targets check my.toml
    """
    from zapdeploy.hardware_targets import load_any_target

    target = load_any_target(file)
    kinds = [figure.kind for _, figure in target.figures()]
    by_kind = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    restated = len(getattr(target, "totals", ()))
    if as_json:
        show.print_json(
            {"name": target.name, "kind": target.kind, "valid": True, "figures": by_kind}
        )
        return 0
    listed = ", ".join(f"{n} {kind}" for kind, n in by_kind.items())
    print(f"{target.name} is valid: {len(kinds)} numbers ({listed}), {restated} totals agree")
    return 0


@_commands.command("init")
def _init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new chip.")],
    base: Annotated[
        str, typer.Option("--from", metavar="NAME|FILE.toml", help="The chip to start from.")
    ] = "northpole-sim",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file to write (default: NAME.toml).")
    ] = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Write a file for a chip of your own: a copy of another's, ready to be changed.

    Example: zapdeploy targets init mychip --from northpole-sim
    """
    from zapdeploy.files import atomic_write
    from zapdeploy.hardware_targets.template import template

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or name.endswith(".toml"):
        raise UsageError(f"NAME must be letters, digits, '.', '_' and '-', not {name!r}")
    path = output or Path(f"{name}.toml")
    if path.exists():
        raise UsageError(f"output '{path}' must not exist yet; choose another NAME or -o FILE")
    text = template(name, base)
    with atomic_write(path) as file:
        file.write(text.encode())
    if as_json:
        show.print_json({"name": name, "extends": base, "file": str(path)})
        return 0
    print(f"{path} is written. Change it, then: zapdeploy targets check {path}")
    return 0


def _off_by(low: float, value: float, high: float) -> str:
    if low == high or not value:
        return ""
    return f"-{1 - low / value:.0%} +{high / value - 1:.0%}"


@_commands.command("sensitivity")
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
