"""How a forecaster is trained: the benchmark's choices, and what can be chosen otherwise."""

from __future__ import annotations

import math
from dataclasses import dataclass

from zapdeploy.errors import UsageError

CONSTANT, COSINE = "constant", "cosine"


@dataclass(frozen=True)
class TrainingOptions:
    """How to train; the defaults are the benchmark's.

    schedule: of the learning rate: constant, or falling to zero over `steps` along a half cosine,
    which few targets per step call for. min_improvement: of the validation error, what it takes to
    start patience anew (the best weights are kept however little better they are).
    validation_windows: how many, evenly spread over the split; None: all 469. neurons_per_step: a
    new choice of so many for every step, for forecasters that treat all neurons alike; None: all.
    """

    steps: int = 20_000
    batch: int = 8
    learning_rate: float = 1e-3
    schedule: str = CONSTANT
    weight_decay: float = 1e-4
    validate_every: int = 250
    patience: int = 20
    min_improvement: float = 1e-4
    validation_windows: int | None = None
    neurons_per_step: int | None = None
    seed: int = 0
    device: str = "cpu"

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if self.schedule == CONSTANT:
            return self.learning_rate
        return self.learning_rate * (1 + math.cos(math.pi * step / self.steps)) / 2

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "validate_every", "patience"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("validation_windows", "neurons_per_step"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, not {value}; leave it out for all")
        if not 0 < self.learning_rate < 1:
            raise UsageError(f"learning_rate must be between 0 and 1, not {self.learning_rate}")
        if self.schedule not in (CONSTANT, COSINE):
            raise UsageError(f"schedule must be constant or cosine, not '{self.schedule}'")
        if not 0 <= self.min_improvement < 1:
            raise UsageError(f"min_improvement must be from 0 to 1, not {self.min_improvement}")
        if not 0 <= self.weight_decay < 1:
            raise UsageError(f"weight_decay must be from 0 to 1, not {self.weight_decay}")
