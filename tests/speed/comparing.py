"""Speeds as ratios to a reference kernel, compared with a saved baseline.

    python -m tests.speed.comparing .benchmarks/speed.json            # print, flag what is slower
    python -m tests.speed.comparing .benchmarks/speed.json --strict   # exit status 1 where it is
    python -m tests.speed.comparing .benchmarks/speed.json --record   # save as the baseline

A ratio is the least time of a benchmark over the least time of the reference in the same run, so
that a slower machine, or a busier one, changes both.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BASELINE = Path(__file__).with_name("baseline.json")
LIMIT = 1.5
REFERENCE_KEY = "reference_s"


@dataclass(frozen=True)
class Speed:
    """One benchmark's ratio to the reference now, and in the baseline if it was there."""

    name: str
    ratio: float
    before: float | None

    @property
    def change(self) -> float | None:
        return None if self.before is None else self.ratio / self.before

    @property
    def slower(self) -> bool:
        return self.change is not None and self.change > LIMIT

    def __str__(self) -> str:
        if self.change is None:
            return f"{self.name:55} {self.ratio:10.3g}  (not in the baseline)"
        verdict = "  SLOWER" if self.slower else ""
        return f"{self.name:55} {self.ratio:10.3g} {self.before:10.3g} {self.change:6.2f}x{verdict}"


def ratios(document: Mapping[str, Any]) -> dict[str, float]:
    """By benchmark, from a file that pytest-benchmark wrote; those without a reference are left."""
    return {
        one["name"]: one["stats"]["min"] / one["extra_info"][REFERENCE_KEY]
        for one in document["benchmarks"]
        if REFERENCE_KEY in one["extra_info"]
    }


def compared(now: Mapping[str, float], before: Mapping[str, float]) -> Iterator[Speed]:
    for name, ratio in now.items():
        yield Speed(name, ratio, before.get(name))


def main(arguments: Sequence[str], baseline: Path = BASELINE) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("results", type=Path)
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args(arguments)
    document = json.loads(options.results.read_text(encoding="utf-8"))
    now = ratios(document)
    if options.record:
        cpu = document["machine_info"]["cpu"].get("brand_raw", "unknown")
        saved = {"cpu": cpu, "ratios": now}
        baseline.write_text(json.dumps(saved, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        print(f"{len(now)} ratios saved")
        return 0
    before = json.loads(baseline.read_text(encoding="utf-8")) if baseline.exists() else {}
    if not before:
        print("no baseline yet: run make speed-baseline on an idle machine")
    speeds = list(compared(now, before.get("ratios", {})))
    print(f"time over that of a 1024 x 1024 float32 product; baseline: {before.get('cpu', 'none')}")
    print(*speeds, sep="\n")
    return int(options.strict and any(speed.slower for speed in speeds))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
