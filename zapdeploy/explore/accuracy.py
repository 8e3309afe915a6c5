"""How well a network forecasts a recording: once for each precision, whatever the chip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from zapdeploy.explore.code import code_digest
from zapdeploy.explore.outcome import DONE
from zapdeploy.explore.points import digest_of
from zapdeploy.explore.spec import Accuracy


@dataclass(frozen=True)
class AccuracyJob:
    """`data` as in `zapdeploy evaluate`: a path that the workers see, or "synthetic". `lead`: the
    longest context of the networks that are compared, so that all forecast the same frames."""

    digest: str
    data: str
    windows: int | None
    neurons: int | None
    lead: int = 0


def accuracy_job(network: str, asked: Accuracy, lead: int) -> AccuracyJob:
    """Its digest covers the recording by name, size and time, as it may be too large to read."""
    path = Path(asked.data)
    found = path.stat() if path.exists() else None
    seen = None if found is None else [found.st_size, found.st_mtime_ns]
    options = [asked.data, asked.windows, asked.neurons, lead]
    digest = digest_of(["accuracy", code_digest(), network, seen, options])
    return AccuracyJob(digest, asked.data, asked.windows, asked.neurons, lead)


def accuracy_row(file: Path, job: AccuracyJob) -> dict[str, Any]:
    """Mean absolute error over steps, neurons, windows and conditions, with its interval."""
    from zapdeploy.benchmarks.accuracy.contenders import neurons_to_read
    from zapdeploy.benchmarks.accuracy.evaluation import evaluate_models
    from zapdeploy.benchmarks.accuracy.training_data import options_to_read
    from zapdeploy.forecasters.intervals import mae_interval
    from zapdeploy.recordings.options import ReadOptions
    from zapdeploy.recordings.recording import open_recording

    names = [str(file)]
    neurons = job.neurons if job.neurons is not None else neurons_to_read(names)
    recording = open_recording(job.data, neurons, options=options_to_read(names, ReadOptions()))
    (found,) = evaluate_models(names, recording, windows=job.windows, lead=job.lead)
    interval = mae_interval(found.scores)
    return {
        "status": DONE,
        "reason": "",
        "mae": fmean(map(float, found.scores.mae)),
        "mae_low": fmean(map(float, interval.low)),
        "mae_high": fmean(map(float, interval.high)),
    }
