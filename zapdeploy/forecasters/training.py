"""Training as ZAPBench does it: AdamW, mean absolute error, early stopping on the validation split.

Everything random comes from the seed and the step's number, and a resume file is written with every
validation, so that a run that was killed ends with the same weights as one that was not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import save_arrays
from zapdeploy.errors import DataError, UsageError
from zapdeploy.forecasters.calibration import CALIBRATION, calibration_windows, golden_window
from zapdeploy.forecasters.folder import (
    WEIGHTS,
    ForecasterSpec,
    write_description,
    write_golden,
    write_tensors,
)
from zapdeploy.forecasters.loading import load_forecaster
from zapdeploy.forecasters.registry import FAMILIES
from zapdeploy.forecasters.resuming import Progressed, read_resume, write_resume
from zapdeploy.forecasters.training_options import CONSTANT, TrainingOptions
from zapdeploy.progress import Progress
from zapdeploy.recordings.columns import brief_columns, listed_columns
from zapdeploy.recordings.conditions import Condition, Split, window_starts
from zapdeploy.recordings.recording import Recording

if TYPE_CHECKING:
    from torch import Tensor, nn

    from zapdeploy.forecasters.wired import WiredForecaster
    from zapdeploy.forecasters.wiring import Wiring


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended. `history`: (step, validation MAE), one for every validation."""

    steps: int
    best_step: int
    validation_mae: float
    stopped: str
    parameters: int
    history: tuple[tuple[int, float], ...]


def train(
    spec: ForecasterSpec,
    recording: Recording,
    folder: str | Path,
    options: TrainingOptions | None = None,
    *,
    wiring: Wiring | None = None,
    progress: Progress = lambda what, done, total: None,
) -> TrainingResult:
    """Train a forecaster and keep its best weights in `folder`, with windows to quantize it on.

    A folder that holds the same training, unfinished, is continued. Raises UsageError when it holds
    another one. Its columns are the recording's, whatever `spec` says of them. wiring: of the
    recording's neurons, for a forecaster that is held to one.
    """
    chosen = options or TrainingOptions()
    _check(spec, recording, chosen)
    drawn = _drawn(spec, recording, chosen, wiring)
    spec = replace(spec, columns=listed_columns(recording.columns))
    if drawn is not None:
        spec = replace(spec, wiring=drawn.spec())
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    run = _Run.start(spec, recording, chosen, place, drawn)
    while not run.finished:
        run.step()
        progress(run.line, run.state.step, chosen.steps)
    save_arrays(place / CALIBRATION, calibration_windows(recording, spec, seed=chosen.seed))
    write_golden(place, golden_window(recording, load_forecaster(place)))
    return run.result()


class _Run:
    """One training under way: network, optimizer and how far it is."""

    def __init__(
        self,
        spec: ForecasterSpec,
        recording: Recording,
        options: TrainingOptions,
        folder: Path,
        wiring: Wiring | None,
    ) -> None:
        import torch

        from zapdeploy.forecasters.build import build_forecaster
        from zapdeploy.forecasters.initialisation import initialise
        from zapdeploy.forecasters.scaled import Scaled

        self.spec, self.recording, self.options, self.folder = spec, recording, options, folder
        self.device = torch.device(options.device)
        self.network = build_forecaster(spec, options.seed)
        initialise(self.network, options.seed)
        if wiring is not None:
            _wired_part(self.network).wire(wiring.connectome)
        if isinstance(self.network, Scaled):
            self.network.fit(recording)
        self.network.to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )
        self.starts = window_starts(Split.TRAIN, spec.context, spec.horizon, recording.conditions)
        self.state = Progressed()

    @classmethod
    def start(
        cls,
        spec: ForecasterSpec,
        recording: Recording,
        options: TrainingOptions,
        folder: Path,
        wiring: Wiring | None = None,
    ) -> _Run:
        """At the first step, or where an earlier run of the same training stopped."""
        run = cls(spec, recording, options, folder, wiring)
        run.state = read_resume(folder, run.identity, run.network, run.optimizer)
        return run

    @property
    def identity(self) -> dict[str, Any]:
        """What makes two trainings the same: at a constant rate, not how many steps."""
        free = ("steps", "device") if self.options.schedule == CONSTANT else ("device",)
        options = {name: v for name, v in asdict(self.options).items() if name not in free}
        forecaster = self.spec.as_json()
        if self.spec.columns is not None:
            forecaster["columns"] = brief_columns(self.spec.columns)
        read = self.recording.options.as_json()
        found = {"forecaster": forecaster, "data": self.recording.source, "options": options}
        return {**found, "read": read} if read else found

    @property
    def finished(self) -> bool:
        return self.state.step >= self.options.steps or self.out_of_patience

    @property
    def out_of_patience(self) -> bool:
        return self.state.stale >= self.options.patience

    @property
    def line(self) -> str:
        """Where training stands, in words."""
        best = f", validation MAE {self.state.best:.5f}" if self.state.history else ""
        return f"training {self.spec.name}{best}"

    def step(self) -> None:
        """One batch; after every `validate_every` of them, and after the last, a validation."""
        self.network.train()
        inputs, targets = self._batch()
        loss = (self.network(*inputs) - targets).abs().mean()
        if not bool(loss.isfinite()):
            raise DataError(
                f"loss must be finite, not {float(loss)} (step {self.state.step}); "
                "take a smaller learning rate"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.rate(self.state.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.state = self.state.stepped()
        if self.state.step % self.options.validate_every == 0 or self.finished:
            self._validate()

    def result(self) -> TrainingResult:
        state = self.state
        stopped = "no improvement" if self.out_of_patience else "steps"
        parameters = sum(value.numel() for value in self.network.parameters())
        return TrainingResult(
            state.step, state.best_step, state.best, stopped, parameters, state.history
        )

    def _batch(self) -> tuple[tuple[Tensor, ...], Tensor]:
        """The inputs and targets of this step: windows in an order drawn for every epoch."""
        size, count = self.options.batch, len(self.starts)
        positions = range(self.state.step * size, (self.state.step + 1) * size)
        orders = [_order(self.options.seed, at // count, count) for at in positions]
        chosen = [
            int(self.starts[order[at % count]]) for order, at in zip(orders, positions, strict=True)
        ]
        inputs, targets = self._arrays(chosen)
        columns = self._columns()
        if columns is not None:
            inputs, targets = (inputs[0][:, :, columns], *inputs[1:]), targets[:, :, columns]
        return inputs, targets

    def _columns(self) -> Tensor | None:
        """The neurons of this step; None: all."""
        count = self.options.neurons_per_step
        if count is None or count >= self.recording.neurons:
            return None
        import torch

        random = np.random.default_rng((self.options.seed, 1, self.state.step))
        chosen = random.choice(self.recording.neurons, count, replace=False, shuffle=False)
        return torch.from_numpy(np.sort(chosen)).to(self.device)

    def _arrays(self, starts: list[int]) -> tuple[tuple[Tensor, ...], Tensor]:
        import torch

        context = self.spec.context
        arrays = [self.recording.contexts(starts, context)]
        if self.spec.info.covariates:
            arrays.append(self.recording.covariates(starts, context, self.spec.horizon))
        inputs = tuple(torch.from_numpy(array).to(self.device) for array in arrays)
        targets = torch.from_numpy(self.recording.targets(starts, context, self.spec.horizon)).to(
            self.device
        )
        return inputs, targets

    def _validate(self) -> None:
        """Judge the network, keep the best weights, and write the resume file."""
        self.network.eval()
        error = validation_mae(self._judge, self.recording.conditions, self.spec, self.options)
        self.state = self.state.validated(error, self.options.min_improvement)
        if self.state.best_step == self.state.step:
            write_tensors(self.folder / WEIGHTS, self.network.state_dict(), {})
        write_resume(self.folder, self.identity, self.state, self.network, self.optimizer)
        record = {
            **self.identity,
            "recording": {
                "description": self.recording.description.as_json(),
                "read": self.recording.options.as_json(),
            },
            "steps": self.state.step,
            "best_step": self.state.best_step,
            "validation_mae": self.state.best,
            "history": self.state.history,
        }
        write_description(self.folder, self.spec, record)

    def _judge(self, starts: list[int]) -> float:
        """Mean absolute error over these windows."""
        import torch

        total = 0.0
        with torch.inference_mode():
            for first in range(0, len(starts), self.options.batch):
                part = starts[first : first + self.options.batch]
                inputs, targets = self._arrays(part)
                total += len(part) * float((self.network(*inputs) - targets).abs().mean())
        return total / len(starts)


def validation_mae(
    judge: Callable[[list[int]], float],
    conditions: tuple[Condition, ...],
    spec: ForecasterSpec,
    options: TrainingOptions,
) -> float:
    """The mean over conditions of the error over their validation windows."""
    ranges = [
        condition.window_starts(Split.VALIDATION, spec.context, spec.horizon)
        for condition in conditions
    ]
    total = sum(map(len, ranges))
    stride = 1 if options.validation_windows is None else -(-total // options.validation_windows)
    errors = [judge(list(starts[::stride])) for starts in ranges if len(starts)]
    return float(np.mean(errors))


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, 0, epoch)).permutation(count)


def _check(spec: ForecasterSpec, recording: Recording, options: TrainingOptions) -> None:
    if spec.neurons != recording.neurons:
        raise UsageError(
            f"neurons must be the recording's {recording.neurons}, not {spec.neurons} ({spec.name})"
        )
    for split in (Split.TRAIN, Split.VALIDATION):
        window_starts(split, spec.context, spec.horizon, recording.conditions)
    if options.neurons_per_step is not None and not _treats_neurons_alike(spec):
        raise UsageError(
            f"neurons_per_step must be left out for {spec.name}, not {options.neurons_per_step}; "
            "it has parameters of single neurons"
        )


def _drawn(
    spec: ForecasterSpec, recording: Recording, options: TrainingOptions, wiring: Wiring | None
) -> Wiring | None:
    """The wiring of this seed, which a forecaster has exactly where it is held to one."""
    if FAMILIES[spec.info.family].wired != (wiring is not None):
        must = "have" if wiring is None else "not have"
        raise UsageError(
            f"{spec.name} must {must} a wiring; give --connectome PATH with wired, with it alone"
        )
    if wiring is not None and wiring.connectome.neurons != recording.neurons:
        raise UsageError(
            f"wiring must be of the recording's {recording.neurons} neurons, not of "
            f"{wiring.connectome.neurons}; match it to the recording"
        )
    return None if wiring is None else wiring.drawn(options.seed)


def _wired_part(network: nn.Module) -> WiredForecaster:
    """The forecaster inside its scaling."""
    from zapdeploy.forecasters.scaled import Scaled
    from zapdeploy.forecasters.wired import WiredForecaster

    inner = network.network if isinstance(network, Scaled) else network
    assert isinstance(inner, WiredForecaster)
    return inner


def _treats_neurons_alike(spec: ForecasterSpec) -> bool:
    """Whether the forecaster has no parameters of single neurons."""
    family = spec.info.family
    normalised = spec.info.revin and spec.revin
    return family in ("linear", "tide") or (family == "time-mix" and not normalised)
