"""GPTQ and GPFQ in one run over the network: what Brevitas computes, layer by layer."""

from __future__ import annotations

import copy
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("brevitas")

import torch
from brevitas.graph.gpfq import gpfq_mode
from brevitas.graph.gptq import gptq_mode
from torch import fx, nn

from tests.quantize.modules import perceptron, residual_network, samples, time_mixer
from zapdeploy.quantize import Prepared, build, find_recipe, prepare_module
from zapdeploy.quantize.modules import weights
from zapdeploy.quantize.modules.build import assemble, outputs, silent
from zapdeploy.quantize.modules.calibration import batches
from zapdeploy.quantize.recipes import Rounding

NETWORKS: dict[str, tuple[Any, dict[str, Any]]] = {
    "residual": (residual_network, samples(24, 1, 8, 8)),
    "mixer": (time_mixer, samples(24, 4, 12)),
}
THEIRS: dict[Rounding, Any] = {"gptq": gptq_mode, "gpfq": gpfq_mode}


def round_as_brevitas_does(graph: fx.GraphModule, prepared: Prepared, rounding: Rounding) -> None:
    """Brevitas' own loop: the whole network from its start for each layer."""
    mode = THEIRS[rounding](graph, create_weight_orig=rounding == "gpfq")
    with torch.no_grad(), mode as running:
        for _ in range(running.num_layers):
            for batch in batches(prepared.samples, 8):
                running.model(*batch)
            running.update()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rounding", THEIRS)
def test_one_run_rounds_as_brevitas_does(name: str, rounding: Rounding) -> None:
    make, given = NETWORKS[name]
    prepared = prepare_module(make(), given)
    ours = assemble(prepared, find_recipe("int4", activation_scales="per tensor")).graph
    theirs, before = copy.deepcopy(ours), copy.deepcopy(ours).state_dict()
    round_as_brevitas_does(theirs, prepared, rounding)
    weights.round_weights(ours, prepared.graph, prepared.samples, 8, rounding, silent)
    found, wanted = ours.state_dict(), theirs.state_dict()
    assert not [key for key in found if "orig" in key]
    for key, value in found.items():
        # Sums in another order may round their last bits otherwise, which depends on the
        # processor; another code would be off by a fifteenth of the largest weight at least.
        bound = 1e-5 * float(wanted[key].abs().max()) if value.is_floating_point() else 0.0
        torch.testing.assert_close(value, wanted[key], rtol=0, atol=bound)
    assert any(not torch.equal(value, before[key]) for key, value in found.items())


@pytest.mark.parametrize("rounding", THEIRS)
def test_the_rounded_output_is_nearer_than_the_nearest_codes(rounding: Rounding) -> None:
    prepared = prepare_module(perceptron(), samples(64, 16))
    x = torch.from_numpy(samples(64, 16, seed=1)["input"])
    recipes = [find_recipe("w4a8", rounding=r, edges=4) for r in ("nearest", rounding)]
    with torch.no_grad():
        exact = prepared.graph(x)
        errors = [float((build(prepared, r).graph(x) - exact).square().mean()) for r in recipes]
    nearest, rounded = errors
    assert rounded < nearest


def test_layers_that_read_centred_values_aim_at_centred_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neurons far from zero, each channel's mean subtracted in front of the quantizer."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv1d(6, 6, 1), nn.ReLU(), nn.Conv1d(6, 6, 1), nn.Conv1d(6, 4, 1))
    given = {"input": samples(64, 6, 20)["input"] + 3}
    prepared = prepare_module(module, given, equalized=False)
    recipe = find_recipe("int4", rounding="gpfq", activation_scales="per neuron", edges=4)

    def error() -> float:
        found = outputs(build(prepared, recipe).graph, prepared.samples)
        return float((found - outputs(prepared.graph, prepared.samples)).square().mean())

    centred = error()
    monkeypatch.setattr(weights, "centre_of", lambda graph, read: torch.zeros(()))
    assert centred < 0.8 * error()


def test_layers_that_are_too_wide_go_to_the_nearest_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first layer reads 16 values, the others 32."""
    monkeypatch.setattr(weights, "MOST_COLUMNS", 16)
    prepared = prepare_module(perceptron(), samples(32, 16))
    graph = assemble(prepared, find_recipe("w4a8")).graph
    before = {name: value.clone() for name, value in graph.state_dict().items()}
    weights.round_weights(graph, prepared.graph, prepared.samples, 8, "gptq", silent)
    moved = {
        key for key, value in graph.state_dict().items() if not torch.equal(before[key], value)
    }
    assert moved == {"0.weight"}
    assert [weights.rounding_of(graph.get_submodule(n), "gptq") for n in ("0", "2")] == [
        "gptq",
        "nearest",
    ]
