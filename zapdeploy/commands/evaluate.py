"""Forecasters of every form, float and quantized, judged on one recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zapdeploy.benchmarks.accuracy.contenders import neurons_to_read
from zapdeploy.benchmarks.accuracy.evaluation import Evaluated, evaluate_baselines, evaluate_models
from zapdeploy.benchmarks.accuracy.training_data import options_to_read
from zapdeploy.progress import Progress
from zapdeploy.recordings.options import ReadOptions
from zapdeploy.recordings.recording import Recording, open_recording
from zapdeploy.tables import Answer, Table


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Answer):
    """Scores of the models, and of forecasts that need no network, on one recording."""

    recording: Recording
    models: tuple[Evaluated, ...]
    baselines: tuple[Evaluated, ...]

    def __repr__(self) -> str:
        return f"<Evaluation of {len(self.models)} forecasters on {self.recording.source}>"

    def records(self) -> list[dict[str, Any]]:
        """A row for each forecaster and step: the mean absolute error over conditions."""
        return [
            {
                "model": entry.contender.model,
                "runner": entry.contender.runner,
                "precision": entry.contender.precision,
                "step": step,
                "mae": error,
            }
            for entry in (*self.models, *self.baselines)
            for step, error in enumerate(entry.scores.mae, 1)
        ]

    def tables(self) -> tuple[Table, ...]:
        """Mean absolute error at the first and the last step."""
        rows = [
            (
                entry.contender.model,
                entry.contender.runner,
                entry.contender.precision,
                f"{entry.scores.mae[0]:.4g}",
                f"{entry.scores.mae[-1]:.4g}",
            )
            for entry in (*self.models, *self.baselines)
        ]
        columns = ("model", "runs in", "bits", "MAE, first step", "MAE, last step")
        return (Table(f"forecast error, {self.recording.source}", columns, rows),)

    def _figure(self, graph_objects: Any) -> Any:
        lines = [
            graph_objects.Scatter(
                y=list(entry.scores.mae),
                x=list(range(1, len(entry.scores.mae) + 1)),
                name=f"{entry.contender.model} ({entry.contender.runner})",
            )
            for entry in (*self.models, *self.baselines)
        ]
        figure = graph_objects.Figure(lines)
        figure.update_layout(
            xaxis_title="step", yaxis_title="mean absolute error", template="plotly_white"
        )
        return figure


def evaluate(
    models: Sequence[str | Path],
    data: str | Path,
    *,
    neurons: int | None = None,
    windows: int | None = None,
    horizon: int | None = None,
    simulate: bool = False,
    options: ReadOptions | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Evaluation:
    """Forecast the test windows of a recording and compare.

    Args:
        models: Folders that training wrote, .onnx and .zap files, "mean" or "mean:W".
        data: The recording: a path, an address, "synthetic" or "zapbench".
        neurons: The first so many; by default those that the models were made for.
        windows: At most so many of each condition; all by default.
        horizon: Frames to forecast, where only baselines are given.
        simulate: Run quantized ONNX files in the functional simulator as well.
        options: How to read the recording; by default as the models' training did.
        progress: Called with what is done, how far, of how much.

    Raises:
        DataError: The recording cannot be read, or a model was trained on other neurons.
    """
    names = [str(model) for model in models]
    chosen = neurons if neurons is not None else neurons_to_read(names)
    read = options_to_read(names, options or ReadOptions())
    recording = open_recording(str(data), chosen, options=read, progress=progress)
    found = evaluate_models(
        names, recording, windows=windows, simulate=simulate, horizon=horizon, progress=progress
    )
    beside = evaluate_baselines(recording, found, windows=windows, progress=progress)
    return Evaluation(recording, tuple(found), tuple(beside))
