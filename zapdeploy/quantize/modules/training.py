"""Quantization-aware training from a post-training result: weights, biases and steps learn."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from zapdeploy.errors import DataError, UsageError
from zapdeploy.files import replacing
from zapdeploy.progress import Progress
from zapdeploy.quantize.modules.build import silent
from zapdeploy.quantize.modules.quantizers import StepQuantizer

# step -> (inputs, what the loss compares the output with); the same for the same step.
Batches = Callable[[int], tuple[tuple[Tensor, ...], Tensor]]
Loss = Callable[[Tensor, Tensor], Tensor]
Validation = Callable[[fx.GraphModule], float]  # lower is better
STATE = "training.pt"


@dataclass(frozen=True)
class TrainingPlan:
    """How long and how fast. learning_rate: of weights and biases (Adam, cosine decay); step_rate:
    of quantizers' steps, relative to their size. patience: validations without improvement."""

    steps: int
    learning_rate: float = 1e-4
    step_rate: float = 1e-3
    validate_every: int = 50
    patience: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        for what in ("steps", "validate_every", "patience"):
            if getattr(self, what) < 1:
                raise UsageError(f"{what} must be at least 1, not {getattr(self, what)}")
        for what in ("learning_rate", "step_rate"):
            if not 0 < getattr(self, what) < 1:
                raise UsageError(f"{what} must be between 0 and 1, not {getattr(self, what)}")


@dataclass(frozen=True)
class TrainingResult:
    """steps done, the validation before and at its best, and why it ended."""

    steps: int
    best_step: int
    before: float
    best: float
    stopped: str


@dataclass
class _State:
    """Where a training stands."""

    step: int
    best_step: int
    before: float
    best: float
    best_weights: dict[str, Tensor]


def train(
    graph: fx.GraphModule,
    batches: Batches,
    loss: Loss,
    validate: Validation,
    plan: TrainingPlan,
    *,
    folder: Path | None = None,
    progress: Progress = silent,
) -> TrainingResult:
    """Train `graph` in place and leave its best weights in it.

    With `folder` the state is kept there after each validation; a folder that holds the same
    training, unfinished, is continued from there, to the same result. Batch normalisation that
    could not be folded keeps its statistics.
    """
    optimizer = _optimizer(graph, plan)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, plan.steps)
    state = _restored(graph, optimizer, schedule, plan, folder)
    if state is None:
        first = validate(graph.eval())
        state = _State(0, 0, first, first, _weights(graph))
    stopped = "all steps done"
    while state.step < plan.steps:
        if state.step - state.best_step >= plan.patience * plan.validate_every:
            stopped = f"no improvement in {plan.patience} validations"
            break
        inputs, wanted = batches(state.step)
        _set_learning(graph, True)
        optimizer.zero_grad()
        loss(graph(*inputs), wanted).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        _set_learning(graph, False)
        state.step += 1
        progress("train", state.step, plan.steps)
        if state.step % plan.validate_every == 0 or state.step == plan.steps:
            _validated(graph, validate, state)
            _save(graph, optimizer, schedule, state, plan, folder)
    graph.load_state_dict(state.best_weights)
    return TrainingResult(state.step, state.best_step, state.before, state.best, stopped)


def _optimizer(graph: fx.GraphModule, plan: TrainingPlan) -> torch.optim.Adam:
    """Adam; each quantizer's step has a rate in proportion to its size."""
    steps = [m.step for m in graph.modules() if isinstance(m, StepQuantizer)]
    known = {id(step) for step in steps}
    rest = [p for p in graph.parameters() if id(p) not in known]
    groups: list[dict[str, Any]] = [{"params": rest, "lr": plan.learning_rate}]
    for step in steps:
        size = float(step.detach().abs().mean())
        groups.append({"params": [step], "lr": plan.step_rate * max(size, 1e-12)})
    return torch.optim.Adam(groups)


def _set_learning(graph: fx.GraphModule, learning: bool) -> None:
    """Quantizers scale their gradients while learning; every other module stays as deployed."""
    for module in graph.modules():
        if isinstance(module, StepQuantizer):
            module.training = learning


def _validated(graph: fx.GraphModule, validate: Validation, state: _State) -> None:
    found = validate(graph)
    if found < state.best:
        state.best, state.best_step, state.best_weights = found, state.step, _weights(graph)


def _weights(graph: fx.GraphModule) -> dict[str, Tensor]:
    return copy.deepcopy(graph.state_dict())


def _save(
    graph: fx.GraphModule,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    state: _State,
    plan: TrainingPlan,
    folder: Path | None,
) -> None:
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "plan": asdict(plan),
        "state": vars(state),
        "weights": graph.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
    }
    with replacing(folder / STATE) as temporary:
        torch.save(document, temporary)


def _restored(
    graph: fx.GraphModule,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    plan: TrainingPlan,
    folder: Path | None,
) -> _State | None:
    if folder is None or not (folder / STATE).is_file():
        return None
    path = folder / STATE
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
        if document["plan"] != asdict(plan):
            raise UsageError(
                f"training must be the one that was begun, not another plan ({path}); "
                "give another folder or the same options"
            )
        graph.load_state_dict(document["weights"])
        optimizer.load_state_dict(document["optimizer"])
        schedule.load_state_dict(document["schedule"])
        return _State(**document["state"])
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(
            f"training state must be that of this network, not {reason} ({path}); "
            "remove it to begin anew"
        ) from error
