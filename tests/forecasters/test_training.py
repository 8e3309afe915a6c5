"""Training: it learns, it stops, and it goes on after a kill as if nothing had been."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from tests.recordings import examples as recordings  # noqa: E402
from zapdeploy.errors import DataError, UsageError, ZapdeployError  # noqa: E402
from zapdeploy.forecasters import MeanBaseline, list_models  # noqa: E402
from zapdeploy.forecasters.build import build_forecaster  # noqa: E402
from zapdeploy.forecasters.devices import choose_device  # noqa: E402
from zapdeploy.forecasters.folder import ForecasterSpec, read_description, save_forecaster  # noqa: E402
from zapdeploy.forecasters.initialisation import initialise  # noqa: E402
from zapdeploy.forecasters.loading import load_forecaster  # noqa: E402
from zapdeploy.forecasters.resuming import Progressed  # noqa: E402
from zapdeploy.forecasters.training import train  # noqa: E402
from zapdeploy.forecasters.training_options import TrainingOptions  # noqa: E402

QUICK = {"validate_every": 10, "steps": 30}
FORECASTERS = [info for info in list_models() if info.context == 4]


def run(folder: Path, spec: ForecasterSpec | None = None, **options: Any) -> Any:
    chosen = TrainingOptions(**{**QUICK, **options})
    return train(spec or ForecasterSpec("linear-c4", 5), recordings.small(), folder, chosen)


def weights(folder: Path) -> dict[str, Any]:
    return dict(load_forecaster(folder).network.state_dict())


@pytest.mark.parametrize("info", FORECASTERS, ids=lambda info: info.name)
def test_every_forecaster_learns(tmp_path: Path, info: Any) -> None:
    spec = ForecasterSpec(info.name, 5, 8 if info.width else None)
    result = run(tmp_path, spec, steps=60, learning_rate=0.01)
    errors = [error for _, error in result.history]
    assert errors[-1] < 0.9 * errors[0]
    assert [step for step, _ in result.history] == [10, 20, 30, 40, 50, 60]
    trained = load_forecaster(tmp_path)
    assert trained.spec == spec
    assert trained.record["validation_mae"] == result.validation_mae == min(errors)
    assert not trained.network.training


def test_a_context_of_256_with_reversible_normalisation(tmp_path: Path) -> None:
    values = np.concatenate([recordings.traces(seed=s) for s in range(3)])
    stimuli = np.concatenate([recordings.stimuli()] * 3)
    from zapdeploy.recordings.recording import Recording
    from zapdeploy.recordings.zapbench import stimulus_condition

    long = Recording(values, stimuli, (stimulus_condition("long", 0, 3000, flag=1),), "long")
    spec = ForecasterSpec("time-mix-c256", 5)
    result = train(spec, long, tmp_path, TrainingOptions(steps=6, validate_every=3))
    assert result.history[1][1] < result.history[0][1]


def test_a_run_that_was_killed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill(what: str, done: int, total: int) -> None:
        if done == 25:
            raise KilledError

    spec, options = ForecasterSpec("residual-mlp-c4", 5, 8), TrainingOptions(**QUICK)
    whole = train(spec, recordings.small(), tmp_path / "whole", options)
    with pytest.raises(KilledError):
        train(spec, recordings.small(), tmp_path / "killed", options, progress=kill)
    steps: list[int] = []
    resumed = train(
        spec,
        recordings.small(),
        tmp_path / "killed",
        options,
        progress=lambda what, done, total: steps.append(done),
    )
    assert steps[0] == 21  # from the last validation on
    assert resumed == whole
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_finished_training_can_be_prolonged(tmp_path: Path) -> None:
    run(tmp_path / "a", steps=20)
    longer = run(tmp_path / "a", steps=40)
    assert longer == run(tmp_path / "b", steps=40)


def test_a_rate_that_falls(tmp_path: Path) -> None:
    """By hand: whole at first, half in the middle; and another number of steps is another run."""
    options = TrainingOptions(steps=30, learning_rate=0.01, schedule="cosine")
    assert options.rate(0) == 0.01
    assert options.rate(15) == pytest.approx(0.005)
    assert options.rate(29) < 1e-4
    assert TrainingOptions().rate(15) == 1e-3
    falling = run(tmp_path, schedule="cosine")
    assert falling.history != run(tmp_path / "constant").history
    with pytest.raises(UsageError, match="its steps is 30, not 40"):
        run(tmp_path, schedule="cosine", steps=40)


def test_the_seed_decides(tmp_path: Path) -> None:
    results = [run(tmp_path / name, seed=s) for name, s in (("a", 1), ("b", 1), ("c", 2))]
    assert results[0] == results[1] != results[2]


def test_it_stops_when_nothing_improves_and_keeps_the_best_weights(tmp_path: Path) -> None:
    wild = {"learning_rate": 0.3, "patience": 2, "min_improvement": 0.0}
    result = run(tmp_path / "a", steps=2000, **wild)
    errors = dict(result.history)
    assert result.stopped == "no improvement"
    assert result.steps == result.best_step + 20 < 2000
    assert result.validation_mae == errors[result.best_step] == min(errors.values())
    run(tmp_path / "b", steps=result.best_step, **wild)
    kept, wanted = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.equal(kept[name], wanted[name]) for name in wanted)


def test_patience_counts_from_the_last_improvement_worth_the_name(tmp_path: Path) -> None:
    """By hand: 0.5 and 0.4 are worth it, 0.395 and 0.393 are not, though the best is kept."""
    state = Progressed()
    for error in (0.5, 0.4, 0.395, 0.393):
        state = state.stepped().validated(error, least=0.01)
    assert (state.best, state.best_step, state.mark, state.stale) == (0.393, 4, 0.4, 2)
    assert state.stepped().validated(0.385, least=0.01).stale == 0
    result = run(tmp_path, min_improvement=0.5, patience=2, steps=2000)
    assert (result.stopped, result.steps) == ("no improvement", 30)


def test_training_starts_as_the_benchmark_does(tmp_path: Path) -> None:
    """The linear forecaster as the naive mean; dense layers with variance 1 / inputs, biases 0."""
    for nlinear in (False, True):
        network = build_forecaster(ForecasterSpec("linear-c4", 5, nlinear=nlinear))
        initialise(network, 0)
        x = torch.from_numpy(recordings.small().contexts([0, 9], 4))
        mean = MeanBaseline(4).forecast(x.numpy())
        np.testing.assert_allclose(network(x).detach().numpy(), mean, atol=1e-6)
    network = build_forecaster(ForecasterSpec("residual-mlp-c4", 5, 8))
    initialise(network, 0)
    last = x[:, -1:].expand(2, 32, 5)
    assert torch.equal(network(x), last)
    for name in ("tsmixer-c4", "tide-c4"):
        network = build_forecaster(ForecasterSpec(name, 900))
        initialise(network, 0)
        for layer in network.modules():
            if getattr(layer, "weight", None) is None or layer.weight.numel() < 10_000:
                continue
            assert float(layer.weight.detach().var() * layer.weight[0].numel()) == pytest.approx(
                1, rel=0.05
            )
            assert layer.bias is None or not layer.bias.detach().any()
    again = build_forecaster(ForecasterSpec("tide-c4", 900), seed=5)
    initialise(again, 0)
    assert all(map(torch.equal, network.parameters(), again.parameters()))


def test_windows_and_neurons_can_be_drawn(tmp_path: Path) -> None:
    result = run(tmp_path, neurons_per_step=2, validation_windows=3)
    assert result.history[-1][1] < result.history[0][1]


def test_the_description_says_how(tmp_path: Path) -> None:
    run(tmp_path)
    spec, record = read_description(tmp_path)
    assert spec == ForecasterSpec("linear-c4", 5)
    assert record["data"] == "small"
    assert record["options"]["learning_rate"] == 1e-3
    assert json.loads((tmp_path / "forecaster.json").read_text())["training"] == record


def test_another_training_in_the_folder(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(UsageError) as caught:
        run(tmp_path, learning_rate=0.01)
    assert str(caught.value) == (
        "folder must be empty or hold the same training, not another one: its learning_rate is "
        f"0.001, not 0.01 ({tmp_path}); give another folder, or start over: restart"
    )


def test_a_damaged_resume_file(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "resume.safetensors").write_bytes(b"half")
    with pytest.raises(DataError, match="resume file must be whole, not unreadable: "):
        run(tmp_path)


def test_a_folder_without_a_forecaster(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_forecaster(tmp_path)
    assert str(caught.value) == (
        "folder must hold forecaster.json, not lack it: No such file or directory "
        f"({tmp_path}); give a folder that zapdeploy train wrote"
    )
    (tmp_path / "forecaster.json").write_text('{"forecaster": {}}')
    with pytest.raises(DataError, match="must describe a forecaster, not KeyError"):
        load_forecaster(tmp_path)


def test_a_forecaster_is_read_as_it_was_saved(tmp_path: Path) -> None:
    spec = ForecasterSpec("linear-c4", 5, nlinear=True)
    network = build_forecaster(spec, seed=3)
    save_forecaster(tmp_path / "new", spec, network, {"imported from": "elsewhere"})
    read = load_forecaster(tmp_path / "new")
    assert read.record == {"imported from": "elsewhere"}
    assert torch.equal(read.network.forecast.weight, network.forecast.weight)


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (ForecasterSpec("linear-c4", 6), {}, "neurons must be the recording's 5, not 6"),
        (
            ForecasterSpec("tsmixer-c4", 5),
            {"neurons_per_step": 2},
            "neurons_per_step must be left out for tsmixer-c4, not 2; it has parameters of",
        ),
        (None, {"steps": 0}, "steps must be at least 1, not 0"),
        (None, {"learning_rate": 2.0}, "learning_rate must be between 0 and 1, not 2.0"),
        (None, {"schedule": "step"}, "schedule must be constant or cosine, not 'step'"),
        (None, {"min_improvement": -1.0}, "min_improvement must be from 0 to 1, not -1.0"),
        (None, {"weight_decay": -1.0}, "weight_decay must be from 0 to 1, not -1.0"),
        (None, {"neurons_per_step": 0}, "neurons_per_step must be at least 1, not 0"),
    ],
)
def test_refusals(
    tmp_path: Path, spec: ForecasterSpec | None, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ZapdeployError) as caught:
        run(tmp_path, spec, **options)
    assert str(caught.value).startswith(message)


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(UsageError, match="device must be cpu here, not cuda"):
        choose_device("cuda")
    with pytest.raises(UsageError, match="device must be auto, cpu or cuda, not 'tpu'"):
        choose_device("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == "cuda"
