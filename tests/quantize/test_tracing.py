"""From a module to a plain graph: the same function, in fewer kinds of operators."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("torch")
pytest.importorskip("brevitas")

import torch
from torch import Tensor, nn

from tests.quantize.modules import residual_network, samples, time_mixer
from zapdeploy.quantize.modules.roles import Role, Roles
from zapdeploy.quantize.modules.tracing import equalize, simplify, trace

MEANS: dict[str, Callable[[Tensor], Tensor]] = {
    "method": lambda x: x.mean((2, 3)),
    "keyword": lambda x: x.mean(dim=[-2, -1]),
    "function": lambda x: torch.mean(x, (2, 3)),
    "kept": lambda x: x.mean((2, 3), keepdim=True),
    "time": lambda x: x.mean(1),
}


class Wrapped(nn.Module):
    """A function behind a convolution."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 3, 3)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layer(x))


@pytest.mark.parametrize("case", MEANS)
def test_means_over_an_image_become_pooling(case: str) -> None:
    module = Wrapped(MEANS[case])
    x = torch.from_numpy(samples(2, 1, 8, 8)["input"])
    graph = simplify(trace(module))
    assert torch.allclose(graph(x), module(x), atol=1e-6)
    pooled = [m for m in graph.modules() if isinstance(m, nn.AdaptiveAvgPool2d)]
    assert len(pooled) == (case != "time")


def test_batchnorm_dropout_and_functions_are_gone() -> None:
    module = nn.Sequential(residual_network(), nn.Dropout(), nn.Identity()).eval()
    x = torch.from_numpy(samples(4, 1, 8, 8)["input"])
    graph = simplify(trace(module))
    assert torch.allclose(graph(x), module(x), atol=1e-5)
    kinds = {
        type(graph.get_submodule(n.target)) for n in graph.graph.nodes if n.op == "call_module"
    }
    assert not kinds & {nn.BatchNorm2d, nn.Dropout, nn.Identity}
    assert nn.ReLU in kinds
    roles = Roles(graph)
    assert Role.FLOAT not in {roles.kind(n) for n in roles.nodes if n.op.startswith("call")}


def test_the_users_module_is_left_as_it_was() -> None:
    module = residual_network()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    simplify(trace(module))
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_equalization_keeps_the_function_and_evens_the_ranges() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    with torch.no_grad():
        module[0].weight[0] *= 100
    x = torch.from_numpy(samples(2, 2, 8, 8)["input"])
    graph, took = equalize(simplify(trace(module)), (x,))
    assert took
    assert torch.allclose(graph(x), module(x), rtol=1e-4, atol=1e-4)
    rows = graph.get_submodule("0").weight.abs().amax((1, 2, 3))
    assert float(rows.max() / rows.min()) < 20


def test_equalization_across_reshapes_keeps_the_function() -> None:
    module = time_mixer()
    x = torch.from_numpy(samples(2, 4, 12)["input"])
    graph, _ = equalize(simplify(trace(module)), (x,))
    assert torch.allclose(graph(x), module(x), atol=1e-4)
