"""How good the forecasts of a row's own file are: mean absolute error over a few windows.

A CPU's or GPU's row is judged through ONNX Runtime, a simulated core array's through the functional
simulator. Only a user's own file is judged: networks by name have random weights, and a file that
was quantized here had no calibration data of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from zapdeploy.benchmarks.onnx_model import model_facts
from zapdeploy.benchmarks.request import WorkItem, is_core_array, is_event_driven
from zapdeploy.benchmarks.rows import MAE, Row
from zapdeploy.errors import ZapdeployError

if TYPE_CHECKING:
    from zapdeploy.forecasters.recording import Recording

WINDOWS = 4  # of each condition's test split


@dataclass(frozen=True)
class Accuracy:
    """Mean over steps, conditions and windows; None, and why."""

    mae: float | None
    note: str


@dataclass
class Accuracies:
    """Judges rows; each file is judged once for each place where it runs.

    data: as `--data`. open_recording(data, neurons) reads it.
    """

    data: str
    open_recording: Callable[[str, int], Recording] | None = None
    _found: dict[tuple[str, bool], Accuracy] = field(default_factory=dict)

    def judged(self, item: WorkItem, row: Row) -> Row:
        """The row with its accuracy, or with the reason why it has none, where it is a user's."""
        path = item.workload.path
        if path is None or is_event_driven(item.target):
            return row
        if model_facts(path).precision != item.precision:
            return row  # its note says what it was calibrated on
        key = (item.workload.identity, is_core_array(item.target))
        if key not in self._found:
            self._found[key] = self._judge(str(path), simulate=key[1])
        found = self._found[key]
        note = "; ".join(text for text in (row.note, found.note) if text)
        metric = "" if found.mae is None else MAE
        return replace(row, accuracy=found.mae, accuracy_metric=metric, note=note)

    def _judge(self, model: str, *, simulate: bool) -> Accuracy:
        try:
            return self._mae(model, simulate=simulate)
        except ModuleNotFoundError as error:
            return Accuracy(None, f"no accuracy: {error.name} is not installed")
        except ZapdeployError as error:
            return Accuracy(None, f"no accuracy: {error}")

    def _mae(self, model: str, *, simulate: bool) -> Accuracy:
        from zapdeploy.benchmarks.contenders import SIMULATOR, contenders, neurons_of
        from zapdeploy.forecasters.evaluation import evaluate

        neurons = neurons_of([model])
        assert neurons is not None
        forms = list(contenders(model, neurons, simulate=simulate))
        chosen = next(one for one in forms if (one.runner == SIMULATOR) == simulate)
        assert chosen.forecast is not None
        recording = self._recording(neurons)
        scores = evaluate(
            chosen.forecast, recording, chosen.context, windows=WINDOWS, batch=chosen.batch
        )
        kind = f"{recording.source} data"
        note = (
            f"MAE ({chosen.kind}): mean of 32 steps and {len(scores.trained)} conditions, up to "
            f"{WINDOWS} windows each, {kind}, in {chosen.runner}"
        )
        return Accuracy(sum(scores.mae) / len(scores.mae), note)

    def _recording(self, neurons: int) -> Recording:
        from zapdeploy.forecasters.recording import open_recording

        return (self.open_recording or open_recording)(self.data, neurons)
