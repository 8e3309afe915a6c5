"""Power of a CPU that cannot be metered: a stated package power, shared out by cores, as interval.

The assumptions are in cpu_power.toml, each with its reason and its error.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import Field, model_validator

from zapdeploy.hardware_targets.figures import Figure, Number, Part, Watts
from zapdeploy.quantities import Estimate, Provenance

_FILE = "cpu_power.toml"


class Load(Part):
    """factor: power of the cores in use over their share of the package power, at full load."""

    factor: Number
    idle_share: Number


class Package(Part):
    """What a CPU package takes under full load, and how many cores share it."""

    package: Watts
    cores: Number


class KnownCpu(Package):
    """`match` is a part of the name that the CPU gives itself."""

    match: str


class CpuPowerFile(Part):
    """The file of known CPUs."""

    schema_version: Literal[1] = Field(alias="schema")
    boundary: Literal["cores in use"]
    sources: dict[str, str]
    load: Load
    cpu: tuple[KnownCpu, ...]
    unknown: Package

    @model_validator(mode="after")
    def _sources_are_listed(self) -> CpuPowerFile:
        for figure in self._figures():
            if figure.source and not set(figure.source.split()) <= set(self.sources):
                raise ValueError(f"source must be one of [sources], not {figure.source!r}")
        return self

    def _figures(self) -> tuple[Figure, ...]:
        packages = (*self.cpu, self.unknown)
        parts = tuple(figure for p in packages for figure in (p.package, p.cores))
        return (self.load.factor, self.load.idle_share, *parts)


@dataclass(frozen=True)
class CpuPower:
    """Watts of the cores in use, running and waiting, and in words how they were arrived at."""

    active: Estimate
    idle: Estimate
    boundary: str
    source: str


@cache
def cpu_power_file() -> CpuPowerFile:
    """The package's assumptions, checked."""
    text = (resources.files("zapdeploy.benchmarks.measured") / _FILE).read_text(encoding="utf-8")
    return CpuPowerFile.model_validate(tomllib.loads(text))


def cpu_power(cpu: str, cores_in_use: int) -> CpuPower:
    """The modelled power of so many cores of the CPU of that name."""
    model = cpu_power_file()
    known = next((entry for entry in model.cpu if entry.match in cpu), None)
    entry: Package = known or model.unknown
    share = _interval(entry.package).scaled(cores_in_use / entry.cores.value)
    active = _times(share, model.load.factor)
    what = f"{known.match}, {int(known.cores)} cores" if known else "one core, CPU model not known"
    source = (
        f"{cores_in_use} core(s) in use of {entry.package.text} ({what}), times "
        f"{model.load.factor.low:g} to {model.load.factor.high:g} ({_FILE})"
    )
    return CpuPower(active, _times(active, model.load.idle_share), model.boundary, source)


def _interval(figure: Figure) -> Estimate:
    return Estimate(figure.value, figure.low, figure.high, Provenance.MODELLED)


def _times(estimate: Estimate, figure: Figure) -> Estimate:
    """Both intervals together: low with low, high with high."""
    return Estimate(
        estimate.value * figure.value,
        estimate.low * figure.low,
        estimate.high * figure.high,
        estimate.kind,
    )
