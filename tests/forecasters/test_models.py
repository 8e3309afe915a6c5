"""The forecasters as torch modules, against the benchmark's definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from zapdeploy.forecasters import build_model, find_model, list_models, sample_inputs  # noqa: E402
from zapdeploy.forecasters.build import make_forecaster  # noqa: E402
from zapdeploy.forecasters.residual_mlp import fold_residual_mlp  # noqa: E402

FORECASTERS = [info.name for info in list_models() if info.context is not None]


def randomised(name: str, **options: Any) -> Any:
    """A network whose every parameter and statistic is drawn, so that none hides."""
    network = build_model(name, neurons=12, **options)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.copy_(0.1 + 0.2 * torch.rand(value.shape, generator=generator))
    return network


def forecast(network: Any, name: str, count: int = 3) -> np.ndarray:
    inputs = sample_inputs(name, count, neurons=12)
    with torch.no_grad():
        return np.asarray(network(*map(torch.from_numpy, inputs.values())))


@pytest.mark.parametrize("name", FORECASTERS)
def test_parameter_counts_at_full_size(name: str) -> None:
    with torch.device("meta"):
        network = make_forecaster(name, 71_721)
    assert sum(value.numel() for value in network.parameters()) == find_model(name).parameters


@pytest.mark.parametrize("name", FORECASTERS)
def test_weights_come_from_the_seed_alone(name: str) -> None:
    width = {"width": 4} if find_model(name).width else {}
    first, same, other = (build_model(name, neurons=12, seed=s, **width) for s in (1, 1, 2))
    assert all(map(torch.equal, first.parameters(), same.parameters()))
    assert (
        not torch.equal(
            first.state_dict()["forecast.weight"], other.state_dict()["forecast.weight"]
        )
        if "forecast.weight" in first.state_dict()
        else True
    )
    assert not first.training


def test_the_linear_forecaster_is_one_matrix() -> None:
    network = randomised("linear-c4")
    x = sample_inputs("linear-c4", 3, neurons=12)["input"]
    kernel, bias = network.forecast.weight[:, :, 0], network.forecast.bias[:, None]
    expected = np.einsum("hc,bcn->bhn", kernel.detach(), x) + bias.detach().numpy()
    np.testing.assert_allclose(forecast(network, "linear-c4"), expected, rtol=1e-5, atol=1e-6)


def test_nlinear_forecasts_the_change_from_the_last_frame() -> None:
    """A recording moved by 2 has its forecast moved by 2; the plain map does something else."""
    x = torch.rand(1, 4, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for nlinear, moves in ((True, True), (False, False)):
            network = randomised("linear-c4", nlinear=nlinear)
            assert torch.allclose(network(x + 2), network(x) + 2, atol=1e-5) == moves


def test_time_mixes_follow_their_definition() -> None:
    network = randomised("time-mix-c4")
    y = sample_inputs("time-mix-c4", 3, neurons=12)["input"]
    held = {name: value.numpy() for name, value in network.state_dict().items()}
    for block in range(5):
        kernel = held[f"blocks.{block}.dense.weight"][:, :, 0]
        bias = held[f"blocks.{block}.dense.bias"][:, None]
        y = y + np.maximum(np.einsum("oc,bcn->bon", kernel, y) + bias, 0)
    kernel, bias = held["forecast.weight"][:, :, 0], held["forecast.bias"][:, None]
    expected = np.einsum("hc,bcn->bhn", kernel, y) + bias
    np.testing.assert_allclose(forecast(network, "time-mix-c4"), expected, rtol=1e-4)


@pytest.mark.parametrize("context", [4, 256])
def test_both_forms_of_tide_are_one_function(context: int) -> None:
    network = randomised(f"tide-c{context}")
    inputs = sample_inputs(f"tide-c{context}", 2, neurons=12)
    x, stimuli = map(torch.from_numpy, inputs.values())
    with torch.no_grad():
        scale = network(x, stimuli).abs().max()
        torch.testing.assert_close(
            network(x, stimuli) / scale,
            network.forward_per_neuron(x, stimuli) / scale,
            rtol=0,
            atol=1e-5,
        )


def test_tide_reads_every_stimulus_and_every_frame() -> None:
    network = randomised("tide-c4")
    x, stimuli = map(torch.from_numpy, sample_inputs("tide-c4", 1, neurons=12).values())
    for value in (x, stimuli):
        value.requires_grad_()
    network(x, stimuli).sum().backward()
    assert (x.grad != 0).all()
    assert (stimuli.grad != 0).all()


@pytest.mark.parametrize("name", ["residual-mlp-c4", "residual-mlp-c256"])
def test_folding_batchnorm_keeps_the_residual_mlp(name: str) -> None:
    network = randomised(name, width=6)
    before = forecast(network, name)
    folded = fold_residual_mlp(network)
    assert not any(isinstance(module, torch.nn.BatchNorm1d) for module in folded.modules())
    np.testing.assert_allclose(forecast(folded, name), before, rtol=1e-4, atol=1e-4)


def test_the_global_state_couples_all_neurons() -> None:
    network = randomised("residual-mlp-c4", width=6)
    x = torch.rand(1, 4, 12, generator=torch.Generator().manual_seed(0))
    moved = x.clone()
    moved[:, :, 7] += 0.5
    with torch.no_grad():
        change = (network(moved) - network(x)).abs().amax(dim=(0, 1))
    assert (change > 1e-6).all()


@pytest.mark.parametrize("name", ["linear-c4", "time-mix-c4", "tide-c4"])
def test_forecasters_that_treat_neurons_alike(name: str) -> None:
    network = randomised(name)
    inputs = [torch.from_numpy(value) for value in sample_inputs(name, 1, neurons=12).values()]
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(
            network(inputs[0][:, :, order], *inputs[1:]), network(*inputs)[:, :, order]
        )
