"""Predictions for chips that were described but not looked up: ResNet-50 on each of their files.

python -m zapdeploy.benchmarks.experiments.chip_predictions -o docs/predictions.md
"""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from zapdeploy import version
from zapdeploy.api import compile_model, simulate
from zapdeploy.benchmarks.models.model_files import precision_file
from zapdeploy.benchmarks.models.workloads import INT8, ModelSize, find_workload
from zapdeploy.benchmarks.simulated.rates import INTERVAL, spread
from zapdeploy.files import atomic_write
from zapdeploy.formatting import quantity
from zapdeploy.quantities import Estimate

COMMAND = "python -m zapdeploy.benchmarks.experiments.chip_predictions -o docs/predictions.md"
# Batch 1, and the batch that is usually stated for the chip. FP8 is stood for by 8-bit integers.
CHIPS = {
    "groq-tsp-sim": ("int8", (1,)),
    "wormhole-n150-sim": ("int8", (1, 16)),
    "hanguang800-sim": ("int8", (1, 32)),
    "simba-sim": ("int8", (1,)),
    "runai200-sim": ("int8", (1,)),
    "speedai240-sim": ("FP8", (1,)),
    "c600-sim": ("FP8", (4,)),
}
_HEAD = """# Predictions for chips that were not looked up

ResNet-50 v1.5 at 224 x 224 on seven chips, from what was published of their architecture and from
assumptions (`zapdeploy/hardware_targets/*.toml`). What these chips achieved on this network was not
looked up by us, neither before nor since: the numbers below are to be compared afterwards, and are
left as they are. Written on {date} by zapdeploy {version} with

    {command}

Frames per second are of a stream of batches, latency is that of one batch alone from host to host
(array, transfers and launch), watts are the chip's with batches back to back. Intervals:
{interval}. Cycles are scheduled; cuts are those of `--effort normal`.

| chip | precision, batch | chips | frames/s | latency | of which the array | power | limited by |
|---|---|---|---|---|---|---|---|
"""


def rows(model: Path) -> Iterator[str]:
    """A line of the table for each chip and batch."""
    for chip, (precision, batches) in CHIPS.items():
        for batch in batches:
            print(f"{chip}, batch {batch}", file=sys.stderr)
            compiled = compile_model(model, chip, batch=batch)
            if not compiled.fits:
                yield f"| {chip} | {precision}, {batch} | | does not fit | | | | |"
                continue
            result = simulate(compiled)
            chips = compiled.options.chips
            one = spread(result)
            limited = result.limiter.replace("_", " ")
            yield (
                f"| {chip} | {precision}, {batch} | {chips} | {_text(one.frames_per_s, '')} |"
                f" {_text(one.latency_s, 's')} | {quantity(result.array_s, 's')} |"
                f" {_text(one.power_w, 'W')} | {limited} |"
            )


def _text(found: Estimate, unit: str) -> str:
    if not unit:
        return f"{found.value:,.0f} [{found.low:,.0f}, {found.high:,.0f}]"
    value, low, high = (quantity(end, unit) for end in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"


def main() -> None:
    """Make ResNet-50 at 8 bits, predict, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--models", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.models or Path(temporary)
        model = precision_file(find_workload("resnet50", ModelSize()), INT8, folder).path
        lines = []
        for line in rows(model):
            print(line, file=sys.stderr, flush=True)
            lines.append(line)
    head = _HEAD.format(
        date=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        version=version(),
        command=COMMAND,
        interval=INTERVAL,
    )
    with atomic_write(options.output) as file:
        file.write((head + "\n".join(lines) + "\n").encode())


if __name__ == "__main__":
    main()
