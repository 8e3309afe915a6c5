"""What mixed precision saves at equal accuracy: a trained ResNet-50 on a core array.

Run: python -m zapdeploy.benchmarks.experiments.mixed_precision -o FOLDER

The network is that of `resnet50_digits` beside this file, trained in FOLDER first where it holds no
weights. Mixed networks may have as much noise as uniform int8, or some decibels more; each is
written to a file, compiled, and scored on all test images. The exit status is 1 where a file does
not cost what was predicted, or nothing that is as accurate as int8 takes less energy.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zapdeploy.benchmarks.experiments.digits import accuracy
from zapdeploy.benchmarks.experiments.resnet50_digits import Plan, TrainedDigits, trained
from zapdeploy.benchmarks.simulated.layer_costs import compiled_costs
from zapdeploy.files import atomic_write
from zapdeploy.forecasters.devices import use_threads
from zapdeploy.progress import Progress
from zapdeploy.quantize.mixed import Budget, snr_db
from zapdeploy.quantize.modules.mixed_search import Costs, MixedSearch
from zapdeploy.quantize.recipes import BitChoice, find_recipe

if TYPE_CHECKING:
    from zapdeploy.quantize.modules.build import Quantized

LOSSES_DB = (0.0, 6.0, 12.0, 18.0, 24.0)  # of the signal-to-noise ratio against int8
CALIBRATION_IMAGES = 16  # half to round weights on, half to measure noise on
INT8 = "int8"
EQUAL = 1e-9  # relative difference of energies that come from sums in another order


@dataclass(frozen=True)
class Row:
    """A network: its noise over the output's power and its accuracy on test images, measured; and
    its modelled energy per frame at batch 1, predicted before and compiled from the written file.

    layers: how many have these bits, by "weights/activations".
    """

    name: str
    accuracy_percent: float
    snr_db: float
    predicted_j: float
    energy_j: float
    latency_s: float
    layers: Mapping[str, int]

    @property
    def as_predicted(self) -> bool:
        return abs(self.energy_j / self.predicted_j - 1) <= EQUAL


def run(
    data: TrainedDigits,
    folder: Path,
    *,
    target: str = "northpole-sim",
    losses_db: Sequence[float] = LOSSES_DB,
    progress: Progress = lambda what, done, total: None,
) -> Iterator[Row]:
    """Rows one by one: int8 first, then mixed networks with ever more noise.

    None where 8 bits everywhere, rounded as the others, have more noise than allowed.
    """
    from zapdeploy.quantize import build, prepare_module, write_module
    from zapdeploy.quantize.modules.sensitivity import noise

    prepared = prepare_module(data.network, {"input": data.calibration})
    search = MixedSearch(
        prepared, find_recipe("w4a8"), partial(compiled_costs, target=target), progress=progress
    )

    def row(
        name: str, network: Quantized, measured: float, predicted: Costs, bits: Sequence[BitChoice]
    ) -> Row:
        path = folder / f"{name}.onnx"
        write_module(prepared, network, path)
        found = compiled_costs(path, target)
        return Row(
            name,
            accuracy(network.graph, (data.images, data.labels)),
            snr_db(measured),
            predicted.energy_j,
            found.energy_j,
            found.latency_s,
            _counted(bits),
        )

    widest = [BitChoice(8, 8)] * len(prepared.layers)
    own = noise(search.fitted, build(search.fitted, find_recipe(INT8)), search.judged)
    yield row(INT8, build(prepared, find_recipe(INT8)), own, search.uniform, widest)
    for loss in losses_db:
        limit = own * 10 ** (loss / 10)
        if limit < search.noise.widest:
            continue
        found = search.quantize([Budget("noise", limit)])
        predicted = Costs({}, found.choice.energy_j, found.choice.latency_s)
        bits = list(found.choice.bits.values())
        yield row(f"mixed-{loss:g}dB", found.quantized, found.noise, predicted, bits)


def _counted(bits: Sequence[BitChoice]) -> dict[str, int]:
    names = [f"{choice.weights}/{choice.activations}" for choice in bits]
    return {name: names.count(name) for name in sorted(set(names), reverse=True)}


def saves(rows: Sequence[Row]) -> bool:
    """Whether some mixed network is as accurate as int8, the first row, and takes less energy."""
    uniform, *others = rows
    return any(
        row.accuracy_percent >= uniform.accuracy_percent and row.energy_j < uniform.energy_j
        for row in others
    )


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table; energy against the first one's."""
    lines = [
        "| network | right on test images | output SNR | energy per frame | layers by bits |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        change = 100 * (row.energy_j / rows[0].energy_j - 1)
        layers = ", ".join(f"{count} at {name}" for name, count in row.layers.items())
        lines.append(
            f"| {row.name} | {row.accuracy_percent:.2f} % | {row.snr_db:.1f} dB | "
            f"{1e3 * row.energy_j:.3f} mJ ({change:+.1f} %) | {layers} |"
        )
    return "\n".join(lines) + "\n"


def document(rows: Sequence[Row], exact_percent: float) -> Mapping[str, Any]:
    """Every number: accuracy and noise are measured, energy is modelled, latency simulated."""
    return {
        "float32_accuracy_percent": exact_percent,
        "rows": [asdict(row) | {"as_predicted": row.as_predicted} for row in rows],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of the experiment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("resnet50-digits"))
    parser.add_argument("--target", default="northpole-sim")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--bfloat16", action="store_true", help="train faster, on some processors")
    options = parser.parse_args(arguments)
    use_threads(options.threads)
    plan = Plan(bfloat16=options.bfloat16)
    data = trained(options.output, plan, calibration_images=CALIBRATION_IMAGES, progress=_show)
    exact = accuracy(data.network, (data.images, data.labels))
    print(f"float32: {exact:.2f} % of {len(data.labels)} test images right", file=sys.stderr)
    rows = []
    for row in run(data, options.output, target=options.target, progress=_show):
        rows.append(row)
        print(table(rows), file=sys.stderr, flush=True)
        with atomic_write(options.output / "mixed.json") as file:
            file.write(json.dumps(document(rows, exact), indent=2).encode() + b"\n")
    print(table(rows))
    return 0 if saves(rows) and all(row.as_predicted for row in rows) else 1


def _show(what: str, done: int, total: int) -> None:
    if done == total:
        print(f"{what}: {total} done", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
