"""The wired forecaster: products, gradients, signs, training, and the truth it was made by."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from zapdeploy.connectomes.activity import synthetic_activity
from zapdeploy.connectomes.connectome import Connectome
from zapdeploy.connectomes.synthetic import Plan, synthetic_connectome
from zapdeploy.errors import DataError, UsageError
from zapdeploy.forecasters.build import build_forecaster
from zapdeploy.forecasters.folder import ForecasterSpec, read_description
from zapdeploy.forecasters.loading import load_forecaster
from zapdeploy.forecasters.seeds import train_seeds
from zapdeploy.forecasters.sparse import Pattern
from zapdeploy.forecasters.training import train
from zapdeploy.forecasters.training_options import TrainingOptions
from zapdeploy.forecasters.wired import WiredForecaster
from zapdeploy.forecasters.wired_recording import wire_recording
from zapdeploy.forecasters.wiring import WiredOptions, Wiring
from zapdeploy.recordings.recording import Recording

QUICK = TrainingOptions(steps=6, batch=4, validate_every=3, learning_rate=1e-2)


def made(neurons: int = 40, degree: float = 5, seed: int = 0) -> Connectome:
    return synthetic_connectome(Plan(neurons, degree, seed))


def recorded(connectome: Connectome, frames: int = 300) -> Recording:
    traces = synthetic_activity(connectome, frames)
    return Recording(traces, np.zeros((frames, 0), np.float32))


def network(connectome: Connectome, **options: object) -> WiredForecaster:
    spec = Wiring(connectome, WiredOptions(**options)).spec()  # type: ignore[arg-type]
    found = WiredForecaster(connectome.neurons, 3, 4, 5, spec)
    found.wire(connectome)
    return found


def dense(found: WiredForecaster, step: int) -> torch.Tensor:
    matrix = torch.zeros(found.neurons, found.neurons)
    post = np.repeat(np.arange(found.neurons), np.diff(found.first.numpy()))
    return matrix.index_put((torch.from_numpy(post), found.pre.long()), found.values(step))


@pytest.mark.parametrize("gains", ["type", "edge"])
def test_messages_and_gradients_equal_dense_ones(gains: str) -> None:
    found = network(made(), gains=gains, steps=2)
    assert found.gain is not None
    h = torch.randn(2, 4, 40, requires_grad=True)
    message = found.message(h, 1)
    assert message is not None
    wanted = torch.einsum("ij,bhj->bhi", dense(found, 1), h)
    torch.testing.assert_close(message, wanted)
    weight = torch.randn_like(message)
    sparse = torch.autograd.grad((message * weight).sum(), (h, found.gain))
    full = torch.autograd.grad((wanted * weight).sum(), (h, found.gain))
    for one, other in zip(sparse, full, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_products_of_matrices_with_empty_rows_and_hubs() -> None:
    random = np.random.default_rng(0)
    mask = random.random((30, 30)) < 0.1
    mask[4], mask[:, 9], mask[12] = False, True, True
    first = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int32)
    pattern = Pattern.of(
        torch.from_numpy(first), torch.from_numpy(np.nonzero(mask)[1].astype("i4"))
    )
    values = torch.randn(int(mask.sum()), dtype=torch.float64, requires_grad=True)
    x = torch.randn(30, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pattern.times, (values, x))


def test_signs_are_kept_unless_free() -> None:
    connectome = made()
    for signed in (True, False):
        found = network(connectome, signed=signed)
        assert found.gain is not None
        with torch.no_grad():
            found.gain.fill_(-2.0)
        kept = torch.sign(found.values(0)) == torch.from_numpy(connectome.signs).float()
        assert bool(kept.all()) == signed
        assert bool(kept.any()) == signed


def test_without_edges_nothing_is_heard() -> None:
    nothing = made().with_edges(*(np.zeros(0),) * 4)
    found = network(nothing)
    assert found.message(torch.randn(1, 4, 40), 0) is None
    x = torch.randn(1, 3, 40)
    other = x.clone()
    other[:, :, 7] += 1
    changed = (found(x) != found(other)).any(dim=1)[0]
    assert changed.nonzero().flatten().tolist() == [7]


def test_a_step_reaches_the_neurons_that_hear_it() -> None:
    """One step reaches those that a neuron synapses on, two steps those these synapse on."""
    connectome = made(40, 2)
    reach = connectome.matrix().toarray() > 0
    within = np.eye(40, dtype=bool)
    for steps in (1, 2):
        within = within | (reach.astype(int) @ within.astype(int) > 0)
        found = network(connectome, steps=steps)
        x = torch.randn(1, 3, 40)
        other = x.clone()
        other[:, :, 7] += 10
        changed = (found(x) != found(other)).any(dim=1)[0].numpy()
        assert not changed[~within[:, 7]].any()


def test_a_pooled_state_reaches_all() -> None:
    """In one of twenty draws at least: a neuron whose units are all below zero hears nothing."""
    found = network(made().with_edges(*(np.zeros(0),) * 4), state=6)
    x = torch.randn(20, 3, 40, generator=torch.Generator().manual_seed(1))
    other = x.clone()
    other[:, :, 7] += 10
    assert bool((found(x) != found(other)).any(dim=1).any(dim=0).all())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"control": "other"}, "must be one of wired"),
        ({"steps": 5}, "must be 1 to 4, not 5"),
        ({"gains": "all"}, "must be type or edge"),
        ({"state": 3}, "even number"),
    ],
)
def test_options_that_cannot_be(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        WiredOptions(**options)  # type: ignore[arg-type]


def test_a_wired_recording_keeps_who_is_who() -> None:
    connectome = made(200, 10)
    recording = recorded(connectome, 60)
    ordered, wiring, matched = wire_recording(recording, connectome, WiredOptions())
    assert matched.matched == 200
    assert ordered.columns is not None
    assert np.array_equal(ordered.traces, recording.traces[:, ordered.columns])
    order = ordered.columns
    full = connectome.matrix().toarray()
    assert np.array_equal(wiring.connectome.matrix().toarray(), full[np.ix_(order, order)])


def test_swapped_axes_are_refused() -> None:
    """More neurons than frames, with the longer axis taken for time."""
    connectome = made(80, 5)
    recording = recorded(connectome, 60)
    swapped = Recording(recording.traces.T.copy(), np.zeros((80, 0), np.float32))
    with pytest.raises(
        DataError, match="80 neurons along its second axis, not 60 neurons and 80 frames"
    ):
        wire_recording(swapped, connectome, WiredOptions())


def test_training_goes_on_where_it_stopped_and_the_folder_is_complete(tmp_path: Path) -> None:
    connectome = made()
    recording, wiring, _ = wire_recording(recorded(connectome), connectome, WiredOptions())
    spec = ForecasterSpec("wired-c3", 40, 4, horizon=5)
    whole = train(spec, recording, tmp_path / "whole", QUICK, wiring=wiring)
    train(spec, recording, tmp_path / "parts", replace(QUICK, steps=3), wiring=wiring)
    parts = train(spec, recording, tmp_path / "parts", QUICK, wiring=wiring)
    assert parts.history == whole.history
    loaded = load_forecaster(tmp_path / "whole")
    assert loaded.spec.wiring == wiring.spec()
    assert isinstance(loaded.network, WiredForecaster)
    assert torch.equal(loaded.network.pre, torch.from_numpy(wiring.connectome.pre))
    other = Wiring(wiring.connectome, WiredOptions(control="shuffled"))
    with pytest.raises(UsageError, match="another"):
        train(spec, recording, tmp_path / "parts", QUICK, wiring=other)


def test_every_seed_has_a_shuffle_of_its_own(tmp_path: Path) -> None:
    connectome = made()
    options = WiredOptions(control="shuffled")
    recording, wiring, _ = wire_recording(recorded(connectome), connectome, options)
    spec = ForecasterSpec("wired-c3", 40, 4, horizon=5)
    train_seeds(spec, recording, tmp_path, QUICK, 2, wiring=wiring)
    found = [read_description(tmp_path / "seeds" / str(seed))[0].wiring for seed in (0, 1)]
    assert all(one is not None and one.control == "shuffled" for one in found)
    assert found[0] != found[1]
    document = json.loads((tmp_path / "forecaster.json").read_text())
    assert document["forecaster"]["wiring"]["edges"] == connectome.edges


def test_a_wiring_is_needed_by_wired_alone(tmp_path: Path) -> None:
    connectome = made()
    recording = recorded(connectome)
    wiring = Wiring(connectome, WiredOptions())
    with pytest.raises(UsageError, match="wired-c3 must have a wiring"):
        train(ForecasterSpec("wired-c3", 40, 4, horizon=5), recording, tmp_path, QUICK)
    spec = ForecasterSpec("linear-c3", 40, horizon=5)
    with pytest.raises(UsageError, match="linear-c3 must not have a wiring"):
        train(spec, recording, tmp_path, QUICK, wiring=wiring)
    with pytest.raises(UsageError, match="must have a wiring, not none"):
        build_forecaster(ForecasterSpec("wired-c3", 40, 4))


@pytest.mark.slow
def test_the_wiring_helps_where_it_made_the_activity(tmp_path: Path) -> None:
    connectome = made(120, 8)
    recording = recorded(connectome, 1500)
    errors = {}
    for control in ("wired", "shuffled", "none"):
        options = WiredOptions(control=control)
        ordered, wiring, _ = wire_recording(recording, connectome, options)
        spec = ForecasterSpec("wired-c4", 120, 8, horizon=3, scaling="robust")
        plan = TrainingOptions(steps=300, batch=16, learning_rate=5e-3, validate_every=100)
        errors[control] = train(spec, ordered, tmp_path / control, plan, wiring=wiring)
    best = errors["wired"].validation_mae
    assert best < 0.97 * errors["shuffled"].validation_mae
    assert best < 0.97 * errors["none"].validation_mae
