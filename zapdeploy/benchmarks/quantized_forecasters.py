"""Trained forecasters by every recipe: mean absolute error against float32, step by step.

Run: python -m zapdeploy.benchmarks.quantized_forecasters FOLDER... --data synthetic -o OUT
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.files import atomic_write
from zapdeploy.forecasters.conditions import Split, window_starts
from zapdeploy.forecasters.evaluation import evaluate
from zapdeploy.forecasters.folder import load_forecaster
from zapdeploy.forecasters.recording import Recording, open_recording

if TYPE_CHECKING:
    from torch import Tensor, fx, nn

    from zapdeploy.quantize.modules.build import Prepared, Quantized

STEPS = (1, 4, 8, 16, 32)  # of the forecast, counted from 1
# Largest change of the mean absolute error against float32, in percent.
LIMITS = {"int8": 0.5, "w4a8": 1.0, "int4": 2.0}
CALIBRATION_WINDOWS = 64
VALIDATION_WINDOWS = 48
BATCH = 8
NEAR_ENOUGH = 1.003  # of the float network's validation error: nothing left to train for


@dataclass(frozen=True)
class Row:
    """One forecaster by one recipe: errors at STEPS, and what the recipe changes in percent."""

    model: str
    recipe: str
    trained_steps: int
    mae_calibrated: tuple[float, ...]  # before training
    mae: tuple[float, ...]
    change_percent: tuple[float, ...]
    agreed: bool
    file_bytes: int

    @property
    def within(self) -> bool:
        """Whether no step is worse than the recipe's limit allows."""
        return max(self.change_percent) <= LIMITS.get(self.recipe, float("inf"))


def run(
    folder: Path,
    recording: Recording,
    output: Path,
    *,
    recipes: tuple[str, ...] = tuple(LIMITS),
    training_steps: int = 300,
    windows: int | None = None,
    seed: int = 0,
) -> list[Row]:
    """Quantize one trained forecaster by each recipe, write its files, and score them.

    Each is scored after calibration and, where that is worse than NEAR_ENOUGH on the validation
    split, again after quantization-aware training on the training split.
    windows: at most so many test windows of each condition; None: all.
    """
    from zapdeploy.quantize import build, find_recipe, prepare_module, write_module

    trained = load_forecaster(folder)
    network, context = trained.network, trained.spec.context
    starts = window_starts(Split.TRAIN, context)
    few = starts[:: max(len(starts) // CALIBRATION_WINDOWS, 1)][:CALIBRATION_WINDOWS]
    prepared = prepare_module(network, {"input": recording.contexts(few.tolist(), context)})
    exact = _score(network, recording, context, windows)
    rows = [Row(folder.name, "float32", 0, exact, exact, (0.0,) * len(STEPS), True, 0)]
    for name in recipes:
        quantized = build(prepared, find_recipe(name))
        before = _score(quantized.graph, recording, context, windows)
        steps = _train(prepared, quantized, recording, context, training_steps, seed)
        found = _score(quantized.graph, recording, context, windows)
        target = output / f"{folder.name}-{name}.onnx"
        record = write_module(prepared, quantized, target, source=folder.name, seed=seed)
        change = tuple(100 * (a / b - 1) for a, b in zip(found, exact, strict=True))
        row = Row(
            folder.name, name, steps, before, found, change, record.agreed, record.result_bytes
        )
        rows.append(row)
        print(_line(row), file=sys.stderr, flush=True)
    return rows


def _score(
    network: nn.Module, recording: Recording, context: int, windows: int | None
) -> tuple[float, ...]:
    """Mean over conditions of the error at each of STEPS."""
    import torch

    def forecast(contexts: NDArray[np.float32], _: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            found: NDArray[np.float32] = network(torch.from_numpy(contexts)).numpy()
        return found

    mae = evaluate(forecast, recording, context, windows=windows).mae
    return tuple(mae[step - 1] for step in STEPS)


def _train(
    prepared: Prepared,
    quantized: Quantized,
    recording: Recording,
    context: int,
    steps: int,
    seed: int,
) -> int:
    """Quantization-aware training on the recording, where it is needed; returns the steps done."""
    import torch

    from zapdeploy.quantize import TrainingPlan, train

    starts = window_starts(Split.TRAIN, context)
    held = window_starts(Split.VALIDATION, context)
    held = held[:: max(len(held) // VALIDATION_WINDOWS, 1)]

    def pair(chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        picked = chosen.tolist()
        contexts, targets = recording.contexts(picked, context), recording.targets(picked, context)
        return torch.from_numpy(contexts), torch.from_numpy(targets)

    def batches(step: int) -> tuple[tuple[Tensor, ...], Tensor]:
        random = np.random.default_rng((seed, step))
        x, y = pair(random.choice(starts, BATCH, replace=False))
        return (x,), y

    def validate(graph: fx.GraphModule) -> float:
        errors = []
        for first in range(0, len(held), BATCH):
            x, y = pair(held[first : first + BATCH])
            with torch.no_grad():
                errors.append(float((graph(x) - y).abs().mean()))
        return float(np.mean(errors))

    if validate(quantized.graph) <= NEAR_ENOUGH * validate(prepared.graph):
        return 0
    plan = TrainingPlan(steps, learning_rate=2e-4, validate_every=50, patience=6, seed=seed)
    return train(quantized.graph, batches, torch.nn.functional.l1_loss, validate, plan).steps


def _line(row: Row) -> str:
    calibrated = "  ".join(f"{1000 * mae:.2f}" for mae in row.mae_calibrated)
    changes = "  ".join(f"{change:+.2f}" for change in row.change_percent)
    errors = "  ".join(f"{1000 * mae:.2f}" for mae in row.mae)
    return f"{row.model} {row.recipe}: {calibrated} -> {errors} | {changes} %"


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table: MAE x 1000, and the change against float32."""
    head = "| forecaster | recipe | " + " | ".join(f"h={h}" for h in STEPS) + " |"
    lines = [head, "|---" * (2 + len(STEPS)) + "|"]
    for row in rows:
        cells = [
            f"{1000 * mae:.2f}" + (f" ({change:+.2f} %)" if row.recipe != "float32" else "")
            for mae, change in zip(row.mae, row.change_percent, strict=True)
        ]
        lines.append(f"| {row.model} | {row.recipe} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def document(rows: list[Row], recording: Recording) -> Mapping[str, Any]:
    """Every number; errors are measured, on a recording that may be synthetic."""
    return {
        "kind": "measured",
        "data": recording.source,
        "synthetic": recording.is_synthetic,
        "steps": list(STEPS),
        "rows": [asdict(row) | {"within_limit": row.within} for row in rows],
    }


def main() -> int:
    """Command line of the experiment; exit status 1 where a recipe's limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--data", default="synthetic")
    parser.add_argument("--windows", type=int, default=None, help="test windows per condition")
    parser.add_argument("--steps", type=int, default=300, help="training steps at int4")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    neurons = load_forecaster(options.folders[0]).spec.neurons
    recording = open_recording(options.data, neurons)
    rows: list[Row] = []
    for folder in options.folders:
        found = run(
            folder,
            recording,
            options.output,
            training_steps=options.steps,
            windows=options.windows,
        )
        rows += found
    with atomic_write(options.output / "forecasters.json") as file:
        file.write(json.dumps(document(rows, recording), indent=2).encode() + b"\n")
    print(table(rows))
    return 0 if all(row.within and row.agreed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
