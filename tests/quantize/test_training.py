"""Quantization-aware training: it helps, it stops, it goes on where it was interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("brevitas")

import torch
from torch import fx

from tests.quantize.modules import perceptron, samples
from zapdeploy.errors import DataError, UsageError
from zapdeploy.quantize import (
    Prepared,
    Quantized,
    TrainingPlan,
    build,
    distill,
    find_recipe,
    prepare_module,
    train,
)
from zapdeploy.quantize.modules.build import outputs
from zapdeploy.quantize.modules.quantizers import StepQuantizer

RECIPE = find_recipe("w2a4", edges=2)


def quantized() -> tuple[Prepared, Quantized]:
    prepared = prepare_module(perceptron(), samples(64, 16))
    return prepared, build(prepared, RECIPE)


def test_training_lowers_the_error_and_moves_the_steps() -> None:
    prepared, made = quantized()
    before = {n: p.detach().clone() for n, p in made.graph.named_parameters() if "step" in n}
    result = distill(prepared, made, TrainingPlan(150, learning_rate=2e-3, validate_every=25))
    assert result.best < 0.9 * result.before
    assert any((p != before[n]).any() for n, p in made.graph.named_parameters() if n in before)


def test_an_interrupted_training_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    plan = TrainingPlan(40, learning_rate=2e-3, validate_every=10)
    prepared, whole = quantized()
    distill(prepared, whole, plan)
    again, parts = quantized()

    def interrupt(what: str, done: int, total: int) -> None:
        if done == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill(again, parts, plan, tmp_path, interrupt)
    fresh, resumed = quantized()
    steps: list[int] = []
    distill(fresh, resumed, plan, tmp_path, lambda what, done, total: steps.append(done))
    assert steps[0] == 21  # the last validation was at step 20
    assert torch.equal(
        outputs(whole.graph, prepared.samples), outputs(resumed.graph, fresh.samples)
    )


def test_training_stops_when_nothing_improves() -> None:
    prepared, made = quantized()
    x = prepared.samples[0]

    def worse(graph: fx.GraphModule) -> float:
        worse.calls += 1  # type: ignore[attr-defined]
        return float(worse.calls)  # type: ignore[attr-defined]

    worse.calls = 0  # type: ignore[attr-defined]
    first = {name: value.clone() for name, value in made.graph.state_dict().items()}
    result = train(
        made.graph,
        lambda step: ((x[:8],), torch.zeros(8, 8)),
        torch.nn.functional.mse_loss,
        worse,
        TrainingPlan(100, validate_every=2, patience=3),
    )
    assert (result.steps, result.best_step) == (6, 0)
    assert result.stopped == "no improvement in 3 validations"
    assert all(torch.equal(first[n], v) for n, v in made.graph.state_dict().items())


def test_the_state_of_another_training_is_refused(tmp_path: Path) -> None:
    prepared, made = quantized()
    distill(prepared, made, TrainingPlan(2), tmp_path)
    with pytest.raises(UsageError, match="training must be the one that was begun"):
        distill(prepared, made, TrainingPlan(3), tmp_path)
    (tmp_path / "training.pt").write_bytes(b"nothing")
    with pytest.raises(DataError, match="training state must be that of this network"):
        distill(prepared, made, TrainingPlan(2), tmp_path)


def test_plans_are_checked() -> None:
    with pytest.raises(UsageError, match="steps must be at least 1, not 0"):
        TrainingPlan(0)
    with pytest.raises(UsageError, match="learning_rate must be between 0 and 1, not 2"):
        TrainingPlan(1, learning_rate=2)


def test_the_steps_gradient_is_that_of_the_paper() -> None:
    """LSQ (Esser et al. 2020, eq. 3): round(v) - v inside the range, the bound outside."""
    quantizer = StepQuantizer(torch.tensor(0.5), 4, signed=True).train()
    for x, v, wanted in ((0.7, 1.4, 1 - 1.4), (100.0, 200.0, 7.0), (-100.0, -200.0, -8.0)):
        quantizer.step.grad = None
        quantizer(torch.tensor([x]))[0].sum().backward()
        assert quantizer.step.grad is not None
        scale = 1 / (1 * 7) ** 0.5
        assert float(quantizer.step.grad) == pytest.approx(wanted * scale, rel=1e-5), v
