"""TSMixer as a torch module, against ZAPBench's definition."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from zapdeploy.forecasters.tsmixer import TSMixer  # noqa: E402


def random_tsmixer(neurons: int, context: int, width: int, *, revin: bool, seed: int) -> TSMixer:
    """A TSMixer with torch's default initialisation, drawn from `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TSMixer(neurons, context, width, revin=revin)
    return network.eval()


@pytest.mark.parametrize(
    ("context", "width", "revin", "parameters"),
    [(4, 256, False, 73_586_458), (256, 128, True, 37_148_100)],
)
def test_parameter_counts_are_the_published_ones(
    context: int, width: int, revin: bool, parameters: int
) -> None:
    with torch.device("meta"):
        network = TSMixer(71_721, context, width, revin=revin)
    assert sum(value.numel() for value in network.parameters()) == parameters


def test_forecast_by_plain_matrix_products() -> None:
    """The definition written out once more, in numpy, without convolutions."""
    network = random_tsmixer(7, 4, 5, revin=False, seed=0)
    held = {name: value.numpy() for name, value in network.state_dict().items()}
    x = np.random.default_rng(0).standard_normal((2, 4, 7)).astype(np.float32)
    y = x
    for time, feature in ((0, 1), (2, 3)):
        kernel, bias = (
            held[f"blocks.{time}.dense.weight"][:, :, 0],
            held[f"blocks.{time}.dense.bias"],
        )
        y = y + np.maximum(np.einsum("oc,bcn->bon", kernel, y) + bias[:, None], 0)
        name = f"blocks.{feature}"
        hidden = np.maximum(y @ held[f"{name}.down.weight"].T + held[f"{name}.down.bias"], 0)
        y = y + hidden @ held[f"{name}.up.weight"].T + held[f"{name}.up.bias"]
    kernel = held["forecast.weight"][:, :, 0]
    expected = np.einsum("oc,bcn->bon", kernel, y) + held["forecast.bias"][:, None]
    with torch.no_grad():
        found = network(torch.from_numpy(x)).numpy()
    assert found.shape == (2, 32, 7)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_time_mix_is_the_same_for_every_neuron() -> None:
    network = random_tsmixer(6, 4, 3, revin=False, seed=0)
    mix = network.blocks[0]
    x = torch.randn(1, 4, 6, generator=torch.Generator().manual_seed(0))
    order = [5, 3, 1, 0, 2, 4]
    torch.testing.assert_close(mix(x)[:, :, order], mix(x[:, :, order]))


def test_reversible_normalisation_follows_shift_and_scale() -> None:
    """The forecast of a shifted and scaled recording is the shifted and scaled forecast."""
    network = random_tsmixer(9, 16, 4, revin=True, seed=0)
    x = torch.randn(1, 16, 9, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain, moved = network(x), network(x * 3 + 5)
    torch.testing.assert_close(moved, plain * 3 + 5, rtol=1e-3, atol=1e-3)


def test_weights_come_from_the_seed_alone() -> None:
    torch.manual_seed(99)
    before = torch.get_rng_state()
    first = random_tsmixer(9, 4, 3, revin=False, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    second = random_tsmixer(9, 4, 3, revin=False, seed=1)
    other = random_tsmixer(9, 4, 3, revin=False, seed=2)
    assert torch.equal(first.forecast.weight, second.forecast.weight)
    assert not torch.equal(first.forecast.weight, other.forecast.weight)
