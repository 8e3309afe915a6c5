"""Whether a forecaster computes here what it computed where it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from zapdeploy.benchmarks.accuracy.contenders import Contender, contenders, neurons_of
from zapdeploy.benchmarks.accuracy.training_data import noted, training_data
from zapdeploy.documents import Document
from zapdeploy.errors import DataError, UsageError
from zapdeploy.forecasters.folder import is_forecaster_folder, read_golden
from zapdeploy.host_part.golden import Golden, noted_golden
from zapdeploy.recordings.description import Description


@dataclass(frozen=True)
class Verified(Document):
    """One form of a forecaster on its golden input. difference: the largest, in the data's unit."""

    also: ClassVar[tuple[str, ...]] = ("passed",)

    runner: str
    precision: str
    values: int
    equal: int
    difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.difference <= self.tolerance


@dataclass(frozen=True)
class Verification:
    """What a forecaster must be fed, and how its forms did."""

    model: str
    neurons: int
    context: int
    horizon: int
    scaling: str
    recording: Description | None
    forms: tuple[Verified, ...]

    @property
    def passed(self) -> bool:
        return all(form.passed for form in self.forms)

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "passed": self.passed,
            "fed": {
                "neurons": self.neurons,
                "context": self.context,
                "horizon": self.horizon,
                "scaling": self.scaling,
                "recording": None if self.recording is None else self.recording.as_json(),
            },
            "forms": [form.as_json() for form in self.forms],
        }


def verify(model: str) -> Verification:
    """Run a folder, an ONNX or a .zap file on the golden input that it carries.

    Raises DataError where it carries none, UsageError where it is no forecaster.
    """
    path = Path(model)
    known = neurons_of(model)
    if known is None:
        raise UsageError(
            f"model must be a folder from zapdeploy train, an .onnx or a .zap file, not '{model}'"
        )
    notes = {} if is_forecaster_folder(path) else noted(path)
    golden = read_golden(path) if is_forecaster_folder(path) else noted_golden(notes, model)
    if golden is None:
        raise DataError(
            f"model must carry a golden input, not none ({model}); train it again, or export it "
            "from a folder that zapdeploy train wrote"
        )
    every = list(contenders(model, known[0], simulate=path.suffix == ".zap"))
    forms = tuple(_run(contender, golden) for contender in every)
    first = every[0]
    return Verification(
        model,
        golden.neurons,
        first.context,
        first.horizon,
        _scaling(path, notes),
        training_data(model)[0],
        forms,
    )


def _run(contender: Contender, golden: Golden) -> Verified:
    assert callable(contender.forecast)  # what carries a golden input forecasts traces
    found = contender.forecast(golden.context, golden.ahead)
    difference = golden.difference(found)
    largest = float(np.abs(difference).max()) if np.isfinite(difference).all() else float("inf")
    return Verified(
        contender.runner,
        contender.precision,
        difference.size,
        int((difference == 0).sum()),
        largest,
        golden.tolerance,
    )


def _scaling(path: Path, notes: Mapping[str, str]) -> str:
    """What the host does, in words."""
    from zapdeploy.forecasters.folder import read_description
    from zapdeploy.host_part import revin, scaling

    if is_forecaster_folder(path):
        return read_description(path)[0].scaling
    if scaling.KEY in notes:
        return "robust"
    return "reversible instance normalisation" if revin.KEY in notes else "none"
