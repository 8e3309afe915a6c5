"""How good a row's network is, where that can be said.

A forecaster that somebody trained is judged by its error at each step, over a few windows; an image
network, whose weights are random, by how often it chooses as it does in float. A CPU's or GPU's row
is judged through ONNX Runtime on the CPU, a core array's through the functional simulator.
Other networks by name have no accuracy, nor has a user's float file that was quantized here: it had
no calibration data of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from zapdeploy.benchmarks.models.model_files import float_file, precision_file
from zapdeploy.benchmarks.models.onnx_model import model_facts
from zapdeploy.benchmarks.models.workloads import FLOAT, FLOAT16, IMAGE
from zapdeploy.benchmarks.request import WorkItem, is_core_array, is_event_driven
from zapdeploy.benchmarks.results.rows import MAE, TOP1, Horizon, Row
from zapdeploy.errors import ZapdeployError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from zapdeploy.recordings.recording import Neurons, Recording

WINDOWS = 4  # of each condition's test split of the benchmark's recording
MORE_WINDOWS = 64  # of other recordings, which have fewer conditions and neurons
IMAGES = 128


@dataclass(frozen=True)
class Accuracy:
    """A row's accuracy and how it was found; no value: why there is none."""

    note: str
    value: float | None = None
    metric: str = ""
    horizon: Horizon | None = None

    def added_to(self, row: Row) -> Row:
        return replace(
            row,
            accuracy=self.value,
            accuracy_metric=self.metric,
            horizon=self.horizon,
            note="; ".join(text for text in (row.note, self.note) if text),
        )


Judge = Callable[[WorkItem], Accuracy]


@dataclass
class Accuracies:
    """Judges rows; each network is judged once at each precision for each place where it runs.

    data: as `--data`; None: what each network was trained on, as its files say, else synthetic.
    models: where made files are. open_recording(data, neurons) reads the data.
    """

    data: str | None
    models: Path
    open_recording: Callable[[str, Neurons], Recording] | None = None
    images: int = IMAGES
    _found: dict[tuple[str, str, bool], Accuracy] = field(default_factory=dict)
    _choices: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def judged(self, item: WorkItem, row: Row) -> Row:
        """The row with its accuracy, or with the reason why it has none; as it is where its network
        cannot be judged.
        """
        judge = self._judge_of(item)
        if judge is None:
            return row
        key = (item.workload.identity, item.precision, is_core_array(item.target))
        if key not in self._found:
            self._found[key] = _tried(judge, item)
        return self._found[key].added_to(row)

    def _judge_of(self, item: WorkItem) -> Judge | None:
        workload, precision = item.workload, item.precision
        if is_event_driven(item.target):
            return None
        if workload.path is not None:
            unquantized = FLOAT if precision == FLOAT16 else precision
            return self._errors if model_facts(workload.path).precision == unquantized else None
        if workload.trained is not None:
            return self._errors
        return self._agreement if workload.kind == IMAGE and precision != FLOAT else None

    def _errors(self, item: WorkItem) -> Accuracy:
        """Of a forecaster at each step, and of a naive mean over the same windows."""
        from zapdeploy.benchmarks.accuracy.contenders import (
            MEAN_WINDOW,
            SIMULATOR,
            contenders,
            horizon_of,
            neurons_of,
        )
        from zapdeploy.forecasters.evaluation import evaluate, mean_forecast
        from zapdeploy.recordings.zapbench import HORIZON

        model = str(self._file(item))
        known, simulate = neurons_of(model), is_core_array(item.target)
        assert known is not None
        neurons, columns = known
        horizon = horizon_of(model) or HORIZON
        forms = list(contenders(model, neurons, simulate=simulate))
        chosen = next(one for one in forms if (one.runner == SIMULATOR) == simulate)
        assert chosen.forecast is not None
        recording = self._recording(model, columns or neurons)
        mean = mean_forecast(min(MEAN_WINDOW, chosen.context), horizon)
        most = WINDOWS if recording.is_zapbench else MORE_WINDOWS
        scores, naive = (
            evaluate(
                forecast, recording, chosen.context, horizon=horizon, windows=most, batch=batch
            )
            for forecast, batch in ((chosen.forecast, chosen.batch), (mean, WINDOWS))
        )
        count = len(scores.trained)
        windows = (
            f"{count} condition{'s' * (count != 1)}, up to {most} test windows each, "
            f"{recording.source} data"
        )
        note = f"MAE ({chosen.kind}): mean of {horizon} steps and {windows}, in {_place(item)}"
        value = sum(scores.mae) / len(scores.mae)
        return Accuracy(note, value, MAE, Horizon(scores.mae, naive.mae, windows))

    def _agreement(self, item: WorkItem) -> Accuracy:
        """Of an image network with itself in float, over images that it was not calibrated on."""
        from zapdeploy.benchmarks.accuracy.agreement import agreement, outputs, unseen_images

        workload, simulate = item.workload, is_core_array(item.target)
        images = unseen_images(workload, self.images)
        if workload.identity not in self._choices:
            source = float_file(workload, self.models).path
            self._choices[workload.identity] = outputs(source, images)
        given = outputs(self._file(item), images, simulate=simulate)
        found = agreement(self._choices[workload.identity], given)
        kind = "simulated" if simulate else "measured"
        return Accuracy(f"{TOP1} ({kind}): {found.text}, in {_place(item)}", found.share, TOP1)

    def _file(self, item: WorkItem) -> Path:
        """What the row's figures are of, in one of its forms."""
        chip = is_core_array(item.target)
        return precision_file(item.workload, item.precision, self.models, core_array=chip).path

    def _recording(self, model: str, neurons: Neurons) -> Recording:
        from zapdeploy.benchmarks.accuracy.training_data import data_to_read
        from zapdeploy.recordings.recording import open_recording

        if self.open_recording is not None:
            return self.open_recording(self.data or "", neurons)
        data, options = data_to_read(model, self.data)
        return open_recording(data, neurons, options=options)


def _tried(judge: Judge, item: WorkItem) -> Accuracy:
    try:
        return judge(item)
    except ModuleNotFoundError as error:
        return Accuracy(f"no accuracy: {error.name} is not installed")
    except ZapdeployError as error:
        return Accuracy(f"no accuracy: {error}")


def _place(item: WorkItem) -> str:
    if is_core_array(item.target):
        return "the functional simulator"
    return "ONNX Runtime on the CPU"
