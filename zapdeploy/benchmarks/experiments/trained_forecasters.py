"""Train every forecaster and score it beside the naive means: does training pay?

Run: python -m zapdeploy.benchmarks.experiments.trained_forecasters --data synthetic -o OUT

Hyper-parameters are the benchmark's; what is shortened so that each takes minutes on two cores is
in PLANS. A folder that is trained already is not trained again, and an interrupted call goes on
where it stopped. The exit status is 1 where a forecaster is worse than a naive mean.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from zapdeploy.benchmarks.accuracy.contenders import MEAN
from zapdeploy.benchmarks.accuracy.evaluation import evaluate_models
from zapdeploy.files import atomic_write
from zapdeploy.forecasters.devices import use_threads
from zapdeploy.forecasters.folder import ForecasterSpec
from zapdeploy.forecasters.training import train
from zapdeploy.forecasters.training_options import TrainingOptions
from zapdeploy.recordings.recording import Recording, open_recording
from zapdeploy.recordings.zapbench import LONGEST_CONTEXT

STEPS = (1, 4, 8, 16, 32)  # of the forecast, counted from 1
FIRST_JUDGED = 4  # before it, the last frames are nearly as good as any forecast
MEAN_WINDOWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # those of the benchmark's own sweep
_SHORT = TrainingOptions(validation_windows=96, validate_every=100)
_TIDE = replace(_SHORT, steps=3000, schedule="cosine", validate_every=500, neurons_per_step=64)
PLANS: Mapping[str, TrainingOptions] = {
    "linear-c4": TrainingOptions(steps=2000),
    "linear-c256": TrainingOptions(steps=3000, validation_windows=96),
    "time-mix-c4": TrainingOptions(steps=4000),
    "time-mix-c256": replace(_SHORT, steps=400),
    "tsmixer-c4": TrainingOptions(steps=2500),
    "tsmixer-c256": replace(_SHORT, steps=400, batch=2),
    "tide-c4": _TIDE,
    "tide-c256": _TIDE,
    "residual-mlp-c4": replace(_SHORT, steps=1000),
    "residual-mlp-c256": replace(_SHORT, steps=300, learning_rate=3e-4),
}


@dataclass(frozen=True)
class Row:
    """A forecaster's mean absolute error at every step, and the best that a naive mean does there.

    naive: of all means over windows that its context holds, the least error at each step.
    cpu_s: processor time of this call's training.
    """

    model: str
    trained_steps: int
    cpu_s: float
    mae: tuple[float, ...]
    naive: tuple[float, ...]

    @property
    def worse_at(self) -> tuple[int, ...]:
        """Steps from the fourth on at which a naive mean is at least as good."""
        pairs = zip(self.mae, self.naive, strict=True)
        return tuple(
            h for h, (mae, naive) in enumerate(pairs, 1) if h >= FIRST_JUDGED and mae >= naive
        )


def run(
    models: Sequence[str],
    recording: Recording,
    folder: Path,
    *,
    seed: int = 0,
    windows: int | None = None,
) -> list[Row]:
    """Train what is not trained and score it. windows: at most so many of each condition."""
    means = _means(recording, windows)
    rows = []
    for name in models:
        place = folder / name
        spec, started = ForecasterSpec(name, recording.neurons), time.process_time()
        result = train(spec, recording, place, replace(PLANS[name], seed=seed))
        spent = time.process_time() - started
        (found,) = evaluate_models([str(place)], recording, windows=windows)
        naive = _least([mae for window, mae in means.items() if window <= spec.context])
        rows.append(Row(name, result.steps, spent, found.scores.mae, naive))
        print(_line(name, rows[-1].mae), file=sys.stderr, flush=True)
    return rows


def _means(recording: Recording, windows: int | None) -> dict[int, tuple[float, ...]]:
    """The error of each naive mean at every step, by its window."""
    names = [f"{MEAN}:{window}" for window in MEAN_WINDOWS]
    found = evaluate_models(names, recording, windows=windows)
    return {w: entry.scores.mae for w, entry in zip(MEAN_WINDOWS, found, strict=True)}


def _least(curves: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(map(min, zip(*curves, strict=True)))


def _line(name: str, mae: Sequence[float]) -> str:
    return f"| {name} | " + " | ".join(f"{1000 * mae[h - 1]:.2f}" for h in STEPS) + " |"


def table(rows: Sequence[Row]) -> str:
    """MAE x 1000 at STEPS as a Markdown table, each context under its naive means."""
    lines = ["| | " + " | ".join(f"h={h}" for h in STEPS) + " |", "|---" * (1 + len(STEPS)) + "|"]
    for context in (4, LONGEST_CONTEXT):
        chosen = [row for row in rows if row.model.endswith(f"-c{context}")]
        if chosen:
            lines.append(_line(f"best mean of up to {context} frames", chosen[0].naive))
        lines += [_line(row.model, row.mae) for row in chosen]
    return "\n".join(lines) + "\n"


def document(rows: Sequence[Row], recording: Recording) -> Mapping[str, Any]:
    """Every number; errors are measured, on a recording that may be synthetic."""
    return {
        "kind": "measured",
        "data": recording.source,
        "synthetic": recording.is_synthetic,
        "neurons": recording.neurons,
        "rows": [asdict(row) | {"worse_at": row.worse_at} for row in rows],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit status 1 where a naive mean is as good from the fourth step on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="synthetic")
    parser.add_argument("--neurons", type=int, default=2000)
    parser.add_argument("--models", default=",".join(PLANS), help="names, joined by commas")
    parser.add_argument("--windows", type=int, default=None, help="test windows per condition")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    use_threads(options.threads)
    recording = open_recording(options.data, options.neurons)
    models = options.models.split(",")
    rows = run(models, recording, options.output, seed=options.seed, windows=options.windows)
    with atomic_write(options.output / "forecasters.json") as file:
        file.write(json.dumps(document(rows, recording), indent=2).encode() + b"\n")
    print(table(rows))
    return 1 if any(row.worse_at for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
