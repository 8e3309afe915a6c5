"""Trained forecasters by every recipe: mean absolute error against float32, step by step.

Run:
    python -m zapdeploy.benchmarks.experiments.quantized_forecasters FOLDER... --data DATA -o OUT
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.benchmarks.accuracy.contenders import neurons_to_read
from zapdeploy.files import atomic_write
from zapdeploy.forecasters.evaluation import evaluate
from zapdeploy.forecasters.folder import folder_notes
from zapdeploy.forecasters.loading import load_forecaster
from zapdeploy.recordings.conditions import Split, window_starts
from zapdeploy.recordings.recording import Recording, open_recording
from zapdeploy.recordings.zapbench import HORIZON

if TYPE_CHECKING:
    from torch import Tensor, fx, nn

STEPS = (1, 4, 8, 16, 32)  # of the forecast, counted from 1
# Largest change of the mean absolute error against float32, in percent.
LIMITS = {"int8": 0.5, "w4a8": 1.0, "int4": 2.0}
CALIBRATION_FRAMES = 4096  # of every neuron: what scales of single neurons are chosen from
LEAST_CALIBRATION_WINDOWS = 64
VALIDATION_WINDOWS = 48
VALIDATIONS = 6  # evenly spread over the training
BATCH = 8
NEAR_ENOUGH = 0.8  # of a recipe's limit: nothing left to train for


@dataclass(frozen=True)
class Rates:
    """Learning rates: of weights and biases, and of quantizers' steps relative to their size.

    most: steps at most; None: as many as the plan has.
    """

    weights: float = 1e-3
    steps: float = 1e-3
    most: int | None = 300


# By recipe: 4-bit activations take long to get used to, the others lose little.
RATES = {"int4": Rates(3e-3, 5e-3, most=None)}


@dataclass(frozen=True)
class Plan:
    """How long a forecaster is trained while quantized, and on how many windows of each condition
    it is scored."""

    steps: int = 300
    windows: int = 32


# Where the defaults are not enough, or take too long on two cores.
PLANS = {
    "time-mix-c4": Plan(steps=8000),
    "tsmixer-c4": Plan(steps=1500),
    "tsmixer-c256": Plan(steps=40, windows=8),
}


@dataclass(frozen=True)
class Row:
    """One forecaster by one recipe: errors at STEPS, and what the recipe changes in percent.

    The change of "float32" is what training on does to it.
    """

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

    Each is scored after calibration and, where a step of the validation split loses more than
    NEAR_ENOUGH allows, again after quantization-aware training on the training split. What was
    trained is compared with the float network after the same training, so that no change comes from
    training longer; what was only calibrated, with the float network as it was.
    windows: at most so many test windows of each condition; None: all.
    """
    from zapdeploy.quantize import build, find_recipe, prepare_module, write_module

    trained = load_forecaster(folder)
    network, context = trained.network, trained.spec.context
    starts = window_starts(Split.TRAIN, context, HORIZON, recording.conditions)
    count = max(CALIBRATION_FRAMES // context, LEAST_CALIBRATION_WINDOWS)
    few = starts[:: max(len(starts) // count, 1)][:count]
    prepared = prepare_module(network, {"input": recording.contexts(few.tolist(), context)})
    course = _Course(recording, context, training_steps, seed, prepared.graph)
    exact = _score(prepared.graph, recording, context, windows)
    rows = [Row(folder.name, "float32", 0, exact, exact, _change(exact, exact), True, 0)]
    trained_on: dict[Rates, tuple[float, ...]] = {}
    for name in recipes:
        quantized, rates = build(prepared, find_recipe(name)), RATES.get(name, Rates())
        before = found = _score(quantized.graph, recording, context, windows)
        steps, reference = 0, exact
        if course.worst_percent(quantized.graph) > NEAR_ENOUGH * LIMITS.get(name, 0.0):
            steps = course.train(quantized.graph, rates)
            found = _score(quantized.graph, recording, context, windows)
            if rates not in trained_on:
                longer = copy.deepcopy(prepared.graph)
                more = course.train(longer, rates)
                trained_on[rates] = _score(longer, recording, context, windows)
                rows.append(_float_row(folder.name, exact, trained_on[rates], more))
            reference = trained_on[rates]
        target = output / f"{folder.name}-{name}.onnx"
        notes = folder_notes(folder)
        record = write_module(
            prepared, quantized, target, source=folder.name, notes=notes, seed=seed
        )
        change = _change(found, reference)
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


def _float_row(model: str, before: tuple[float, ...], after: tuple[float, ...], steps: int) -> Row:
    """The float network before and after training on, and what that changes."""
    return Row(model, "float32", steps, before, after, _change(after, before), True, 0)


def _change(found: tuple[float, ...], exact: tuple[float, ...]) -> tuple[float, ...]:
    """In percent."""
    return tuple(100 * (a / b - 1) for a, b in zip(found, exact, strict=True))


@dataclass(frozen=True)
class _Course:
    """Training on the recording's training split, the same for every network that takes it.

    The loss is the mean over forecast steps of the absolute error relative to the float network's,
    as LIMITS are relative at each step; without that, the first steps would hardly count.
    """

    recording: Recording
    context: int
    steps: int
    seed: int
    reference: fx.GraphModule

    @cached_property
    def _exact(self) -> Tensor:
        """The float network's validation error at each forecast step [steps]."""
        return self._errors(self.reference)

    @cached_property
    def _weights(self) -> Tensor:
        """One over the float network's error at each step: [steps, 1], mean 1."""
        weights = 1 / self._exact
        return (weights / weights.mean())[:, None]

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return window_starts(Split.TRAIN, self.context, HORIZON, self.recording.conditions)

    @cached_property
    def _held(self) -> NDArray[np.int64]:
        held = window_starts(Split.VALIDATION, self.context, HORIZON, self.recording.conditions)
        return held[:: max(len(held) // VALIDATION_WINDOWS, 1)]

    def train(self, graph: fx.GraphModule, rates: Rates) -> int:
        """Train in place, the best validation kept; returns the steps done."""
        from zapdeploy.quantize import TrainingPlan, train

        steps = self.steps if rates.most is None else min(self.steps, rates.most)
        every = max(steps // VALIDATIONS, 1)
        plan = TrainingPlan(
            steps,
            learning_rate=rates.weights,
            step_rate=rates.steps,
            validate_every=every,
            seed=self.seed,
        )
        return train(graph, self._batch, self._loss, self.validate, plan).steps

    def validate(self, graph: fx.GraphModule) -> float:
        """The loss on windows of the validation split."""
        return float((self._errors(graph) * self._weights[:, 0]).mean())

    def worst_percent(self, graph: fx.GraphModule) -> float:
        """What a network loses against the float one at the worst of STEPS, on the validation
        split."""
        change = 100 * (self._errors(graph) / self._exact - 1)
        return float(change[[step - 1 for step in STEPS]].max())

    def _errors(self, graph: fx.GraphModule) -> Tensor:
        """The mean absolute error at each forecast step over the validation split [steps]."""
        import torch

        with torch.no_grad():
            pairs = map(self._pair, self._parts())
            return torch.stack([(graph(x) - y).abs().mean((0, 2)) for x, y in pairs]).mean(0)

    def _loss(self, forecast: Tensor, target: Tensor) -> Tensor:
        return ((forecast - target).abs() * self._weights).mean()

    def _parts(self) -> list[NDArray[np.int64]]:
        """Windows of the validation split, BATCH at a time."""
        return [self._held[first : first + BATCH] for first in range(0, len(self._held), BATCH)]

    def _batch(self, step: int) -> tuple[tuple[Tensor, ...], Tensor]:
        random = np.random.default_rng((self.seed, step))
        x, y = self._pair(random.choice(self._starts, BATCH, replace=False))
        return (x,), y

    def _pair(self, chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        import torch

        picked = chosen.tolist()
        contexts = self.recording.contexts(picked, self.context)
        targets = self.recording.targets(picked, self.context, HORIZON)
        return torch.from_numpy(contexts), torch.from_numpy(targets)


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
            f"{1000 * mae:.2f} ({change:+.2f} %)"
            for mae, change in zip(row.mae, row.change_percent, strict=True)
        ]
        name = row.recipe + (f", {row.trained_steps} steps" if row.trained_steps else "")
        lines.append(f"| {row.model} | {name} | " + " | ".join(cells) + " |")
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
    parser.add_argument("--steps", type=int, default=None, help="training steps while quantized")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    recording = open_recording(options.data, neurons_to_read(list(map(str, options.folders))))
    rows: list[Row] = []
    for folder in options.folders:
        plan = PLANS.get(load_forecaster(folder).spec.name, Plan())
        found = run(
            folder,
            recording,
            options.output,
            training_steps=options.steps or plan.steps,
            windows=options.windows or plan.windows,
        )
        rows += found
    with atomic_write(options.output / "forecasters.json") as file:
        file.write(json.dumps(document(rows, recording), indent=2).encode() + b"\n")
    print(table(rows))
    return 0 if all(row.within and row.agreed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
