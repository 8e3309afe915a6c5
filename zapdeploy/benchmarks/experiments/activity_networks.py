"""What real values cost, network by network: constants, random data, these inputs, zeros withheld.

    python -m zapdeploy.benchmarks.experiments.activity_networks \
        digits=digits-int8.onnx,digits.npz forecaster=int8.onnx,windows.npz -o activity.json

Each network is compiled for the target, scheduled, and some of its inputs are run core by core.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from zapdeploy.api import compile_model, simulate
from zapdeploy.arrays import load_arrays
from zapdeploy.errors import UsageError, ZapdeployError
from zapdeploy.files import atomic_write
from zapdeploy.sim.activity import ACTUAL, RANDOM_DATA, ZEROS, measure_activity
from zapdeploy.sim.batches import in_batches
from zapdeploy.sim.results import check_fits

_HEAD = (
    "| network | frames | constants | zeros | these inputs | zeros withheld | events alone: zeros |"
    " these inputs | zeros withheld | zero inputs, weights, products | bits toggling |\n"
    + "|---" * 11
    + "|"
)


def row(name: str, model: Path, inputs: Path, target: str, frames: int) -> dict[str, Any]:
    """One network's energies per frame, in joules, and what was counted."""
    compiled = compile_model(model, target)
    check_fits(compiled)
    interface = compiled.interface
    given = in_batches(interface, load_arrays(inputs, interface.inputs))
    found = measure_activity(simulate(compiled), given, frames)
    products = [layer.products.as_json() for layer in found.layers]

    def share(part: str, whole: str) -> float:
        return sum(p[part] for p in products) / max(sum(p[whole] for p in products), 1)

    return {
        "network": name,
        "target": compiled.target.name,
        "sample": {**vars(found.sample), "standard_error_j": found.standard_error_j(False)},
        "constants_j": found.performance.energy_per_frame.value,
        "random_j": found.energy(RANDOM_DATA, False).value,
        "zeros_j": found.energy(ZEROS, False).value,
        "actual_j": found.energy(ACTUAL, False).value,
        "actual_gated_j": found.energy(ACTUAL, True).value,
        "events": {
            "random_j": found.events_j(RANDOM_DATA, False),
            "zeros_j": found.events_j(ZEROS, False),
            "actual_j": found.events_j(ACTUAL, False),
            "actual_gated_j": found.events_j(ACTUAL, True),
        },
        "zero_inputs_share": share("zero_inputs", "inputs"),
        "zero_weights_share": share("zero_weights", "weights"),
        "zero_products_share": share("zero_products", "macs"),
        "operand_toggles_share": share("operand_toggles", "operand_bits"),
    }


def _line(found: dict[str, Any]) -> str:
    constants, events = found["constants_j"], found["events"]
    cells = [
        found["network"],
        str(found["sample"]["frames"]),
        f"{constants:.3g} J",
        *(f"{found[k] / constants - 1:+.1%}" for k in ("zeros_j", "actual_j", "actual_gated_j")),
        *(
            f"{events[k] / events['random_j'] - 1:+.1%}"
            for k in ("zeros_j", "actual_j", "actual_gated_j")
        ),
        ", ".join(f"{found[f'zero_{k}_share']:.0%}" for k in ("inputs", "weights", "products")),
        f"{found['operand_toggles_share']:.0%}",
    ]
    return f"| {' | '.join(cells)} |"


def _entry(text: str) -> tuple[str, Path, Path]:
    name, _, files = text.partition("=")
    model, _, inputs = files.partition(",")
    if not (name and model and inputs):
        raise UsageError(f"networks must be NAME=MODEL.onnx,INPUTS.npz, not '{text}'")
    return name, Path(model), Path(inputs)


def main(arguments: list[str] | None = None) -> int:
    """Command line of the experiment."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", nargs="+", metavar="NAME=MODEL.onnx,INPUTS.npz")
    parser.add_argument("--target", default="northpole-sim")
    parser.add_argument("--frames", type=int, default=4, help="to count, of each network")
    parser.add_argument("-o", "--output", type=Path, help="a JSON file")
    asked = parser.parse_args(arguments)
    try:
        rows = []
        print(_HEAD)
        for text in asked.networks:
            rows.append(row(*_entry(text), asked.target, asked.frames))
            print(_line(rows[-1]), flush=True)
    except ZapdeployError as error:
        print(error, file=sys.stderr)
        return 2
    if asked.output is not None:
        with atomic_write(asked.output) as file:
            file.write(json.dumps(rows, indent=2).encode() + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
