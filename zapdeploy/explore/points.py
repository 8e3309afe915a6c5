"""Points: one value for every axis, and the digest of all that its result depends on."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from zapdeploy.benchmarks.models.workloads import file_digest
from zapdeploy.compile.mapping.sharing import numbers_read
from zapdeploy.errors import UsageError, ZapdeployError
from zapdeploy.explore.axes import OPTIONS, STAGES, SUITED, Value
from zapdeploy.explore.code import code_digest
from zapdeploy.explore.spec import Bound, Compute, Spec
from zapdeploy.hardware_targets import Target, parse_target
from zapdeploy.hardware_targets.changes import changed_target_text, target_numbers
from zapdeploy.quantities import parse

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": lambda a, b: a <= b * (1 + 1e-9),
    ">=": lambda a, b: a >= b * (1 - 1e-9),
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "==": lambda a, b: abs(a - b) <= 1e-9 * abs(b),
}


@dataclass(frozen=True)
class Chip:
    """A target with some of its keys changed; `error` says why there is no such chip."""

    text: str
    target: Target | None
    error: str = ""

    @cached_property
    def digest(self) -> str:
        """Of the numbers that results depend on, or of the text that is no chip."""
        if self.target is None:
            return digest_of(self.text)
        return digest_of(target_numbers(self.target))

    @cached_property
    def mapped(self) -> str:
        """Of the numbers that the choice of cuts depends on."""
        if self.target is None:
            return ""
        return digest_of(numbers_read(self.target))


@dataclass(frozen=True)
class Job:
    """What a worker needs to compute a point, beside its network; all plain values.

    values: the file of frames whose bits are counted, and how many of them.
    """

    digest: str
    target_text: str
    batch: int
    chips: int | None
    micro_batch: int | None
    objective: str
    effort: str
    frame_rate_hz: float | None
    timing: str
    split: str = STAGES
    chip_grid: str = SUITED
    values: tuple[str, int] | None = None


@dataclass(frozen=True)
class Point:
    """`values`: of every axis and option; `network`: the key of its network at its precision;
    `family`: equal for points whose cuts are chosen once for all of them."""

    values: Mapping[str, Value]
    network: str
    job: Job
    family: tuple[Any, ...]
    error: str = ""

    @property
    def digest(self) -> str:
        return self.job.digest


class Points:
    """Makes the points of a spec; chips and networks that many have in common are made once.

    `network_of(values)`: the key of a point's network, which changes whenever its file would.
    """

    def __init__(
        self, spec: Spec, network_of: Callable[[Mapping[str, Value]], tuple[str, str]]
    ) -> None:
        self._spec, self._network_of = spec, network_of
        self._chips: dict[tuple[Any, ...], Chip] = {}

    def all(self) -> Iterator[Point]:
        """Every point of the grid that keeps within the constraints, in the order of the axes."""
        axes = self._spec.axes
        names, seen = self._spec.columns, set()
        for steps in itertools.product(*(axis.values for axis in axes)):
            values = [value for step in steps for value in step]
            point = self.point(dict(zip(names, values, strict=True)))
            if point is not None and (key := tuple(point.values.items())) not in seen:
                seen.add(key)  # a file that is quantized already has one precision alone
                yield point

    def point(self, given: Mapping[str, Value]) -> Point | None:
        """The point of these values; None where it breaks a constraint."""
        changes = {k: v for k, v in given.items() if k not in OPTIONS}
        options = {**OPTIONS, **{k: v for k, v in given.items() if k in OPTIONS}}
        chip = self.chip(str(options["target"]), changes)
        if not keeps_within(self._spec.constraints, options, chip.target):
            return None
        network, precision = self._network_of(options)
        values = {**options, "precision": precision, **changes}
        job = _job(network, chip, values, self._spec.compute)
        cut = (job.chips, job.split, job.chip_grid, job.micro_batch)
        mapped = (job.batch, *cut, job.objective, job.effort, chip.mapped)
        return Point(values, network, job, (network, *mapped), chip.error)

    def chip(self, target: str, changes: Mapping[str, Value]) -> Chip:
        key = (target, *sorted(changes.items(), key=lambda item: item[0]))
        if key not in self._chips:
            self._chips[key] = _made(target, changes)
        return self._chips[key]


def _made(target: str, changes: Mapping[str, Value]) -> Chip:
    """Raises TargetError where the target itself is wrong; a change that is, is a chip's error."""
    plain = {key: list(v) if isinstance(v, tuple) else v for key, v in changes.items()}
    text = changed_target_text(target, plain)
    where = f"target '{target}'"
    try:
        return Chip(text, parse_target(text, where))
    except ZapdeployError as error:
        parse_target(changed_target_text(target, {}), where)
        return Chip(text, None, str(error))


def _job(network: str, chip: Chip, values: Mapping[str, Any], compute: Compute) -> Job:
    rate = values["frame_rate"]
    options = {
        "batch": int(values["batch"]),
        "chips": values["chips"],
        "split": values["split"],
        "chip_grid": values["chip_grid"],
        "micro_batch": values["micro_batch"],
        "objective": values["objective"],
        "effort": values["effort"],
        "frame_rate_hz": None if rate is None else float(rate),
        "timing": compute.timing,
    }
    asked = compute.values
    counted = None if asked is None else (asked.inputs, asked.frames)
    seen = None if asked is None else [file_digest(Path(asked.inputs)), asked.frames]
    parts = [code_digest(), network, chip.digest, options, seen]
    return Job(digest=digest_of(parts), target_text=chip.text, values=counted, **options)


def keeps_within(
    constraints: Mapping[str, tuple[Bound, ...]],
    options: Mapping[str, Value],
    target: Target | None,
) -> bool:
    """Whether a point keeps all bounds; one without a chip is left to say so in its own row.

    Raises UsageError for a bound on something that is not there, or in another unit.
    """
    for name, bounds in constraints.items():
        if name in OPTIONS:
            found: tuple[float, str] | None = _number(name, options[name])
        elif target is None:
            continue
        else:
            found = _of_target(name, target)
        if found is not None and not all(_holds(name, *found, bound) for bound in bounds):
            return False
    return True


def _number(name: str, value: Value) -> tuple[float, str] | None:
    if isinstance(value, int | float):
        return float(value), ""
    if value is None:
        return None
    raise UsageError(f"constraints must be on numbers, not on {name}; leave values out of its axis")


def _of_target(name: str, target: Target) -> tuple[float, str]:
    """A total that follows from the parts, or a number of the file, with its unit."""
    totals = target.derived_totals()
    if name in totals:
        unit, value = totals[name]
        return value, unit
    figures = dict(target.figures())
    if name not in figures:
        raise UsageError(
            f"constraints must be on one of {', '.join(totals)}, an option or a number of the "
            f"chip's file, not '{name}'"
        )
    return figures[name].value, figures[name].unit


def _holds(name: str, value: float, unit: str, bound: Bound) -> bool:
    sign, text = bound
    try:
        return _COMPARE[sign](value, parse(text, unit))
    except ValueError as error:
        raise UsageError(f"constraint on {name} {error}") from None


def digest_of(content: Any) -> str:
    """SHA-256 of plain values, in hex."""
    text = json.dumps(content, sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()
