"""The synthetic recording: its statistics, its layout on disk, and how it is kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorstore")

from zapdeploy.errors import UsageError
from zapdeploy.recordings import synthetic_recording
from zapdeploy.recordings.recording import Recording, open_recording
from zapdeploy.recordings.zapbench import CONDITIONS
from zapdeploy.recordings.zapbench_extras import read_positions

FLAGS = [1, 3, 5, 8, 12, 17, 18, 20, 21]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def made(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Recording:
    """The first 40 neurons, made once."""
    monkeypatch.setenv("ZAPDEPLOY_CACHE", str(cache))
    return open_recording("synthetic", 40)


def test_shape_and_range(made: Recording) -> None:
    assert made.traces.shape == (7879, 40)
    assert made.traces.min() >= -0.25
    assert 0.2 < made.traces.max() <= 1.5
    assert made.is_synthetic
    assert made.source == "synthetic, seed 0"


def test_the_baseline_is_the_running_percentile(made: Recording) -> None:
    """About 8 % of the values lie below zero, everywhere in the recording."""
    for part in np.array_split(made.traces, 8):
        assert 0.05 < (part < 0).mean() < 0.11


def test_the_running_percentile_by_hand() -> None:
    ramp = np.linspace(0, 1, 1001, dtype=np.float32)[:, None]
    found = synthetic_recording.subtract_baseline(ramp)
    window = np.sort(ramp[100:901, 0])
    assert found[500, 0] == pytest.approx(ramp[500, 0] - window[int(0.08 * 801)], abs=1e-6)


def test_stimuli_flag_one_condition_at_a_time(made: Recording) -> None:
    np.testing.assert_array_equal((made.stimuli[:, FLAGS] == 1).sum(axis=1), 1)
    assert not made.stimuli[:, 22:].any()
    for condition in CONDITIONS:
        assert (made.stimuli[condition.start : condition.stop, condition.flag] == 1).all()


def test_responses_repeat_with_the_stimulus() -> None:
    """Averaged over its cycles, gain's activity still varies; over a wrong cycle it does less."""
    shared = synthetic_recording.shared_factors(0)
    block = synthetic_recording.neuron_block(0, shared, 0, 100)
    gain = block[1 : 1 + 9 * 66]
    right = gain.reshape(9, 66, 100).mean(axis=0).std(axis=0)
    wrong = gain[:567].reshape(9, 63, 100).mean(axis=0).std(axis=0)
    assert np.quantile(right, 0.8) > 1.2 * np.quantile(wrong, 0.8)


def test_neurons_are_the_same_in_recordings_of_any_size(made: Recording) -> None:
    shared = synthetic_recording.shared_factors(0)
    block = synthetic_recording.neuron_block(0, shared, 0, 3)
    np.testing.assert_array_equal(made.traces[:, :3], block)
    other = synthetic_recording.neuron_block(1, shared, 0, 3)
    assert not np.array_equal(block, other)


def test_the_layout_is_that_of_the_published_recording(made: Recording, cache: Path) -> None:
    folder = cache / "synthetic-v1-seed0-40"
    metadata = json.loads((folder / "traces" / "zarr.json").read_text())
    assert metadata["zarr_format"] == 3
    assert metadata["shape"] == [7879, 40]
    assert metadata["chunk_grid"]["configuration"]["chunk_shape"] == [512, 512]
    assert metadata["codecs"] == [{"name": "bytes", "configuration": {"endian": "little"}}]
    assert (folder / "traces" / "c" / "0" / "0").stat().st_size == 2**20
    assert (folder / "stimuli_features" / ".zarray").is_file()
    assert read_positions(str(folder), np.arange(40)).shape == (40, 192)


def test_a_larger_recording_serves_for_fewer_neurons(
    made: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unexpected(*_: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(synthetic_recording, "write_synthetic", unexpected)
    np.testing.assert_array_equal(open_recording("synthetic", 7).traces, made.traces[:, :7])
    np.testing.assert_array_equal(
        open_recording("synthetic", [30, 2]).traces, made.traces[:, [30, 2]]
    )


def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("ZAPDEPLOY_CACHE", str(tmp_path))
    monkeypatch.setattr(synthetic_recording, "stimulus_features", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_recording("synthetic", 2)
    assert list(tmp_path.iterdir()) == []


def test_where_recordings_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZAPDEPLOY_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert synthetic_recording.cache_folder() == Path("/somewhere/zapdeploy")


@pytest.mark.parametrize("neurons", [0, 71_722])
def test_sizes_out_of_range(neurons: int) -> None:
    with pytest.raises(UsageError) as caught:
        open_recording("synthetic", neurons)
    assert str(caught.value) == f"neurons must be 1 to 71721, not {neurons}; give a size"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("context", "expected"),
    [(4, (19.6, 23.1, 26.2, 30.1, 33.3)), (256, (19.5, 22.5, 24.4, 26.3, 27.6))],
)
def test_a_linear_forecaster_errs_as_on_the_real_recording(
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    context: int,
    expected: tuple[float, ...],
) -> None:
    """Within 5 % of an independent replication's curve (facts of the benchmark), 2,000 neurons."""
    from zapdeploy.benchmarks.accuracy.evaluation import evaluate_models
    from zapdeploy.forecasters.folder import ForecasterSpec
    from zapdeploy.forecasters.training import train
    from zapdeploy.forecasters.training_options import TrainingOptions

    monkeypatch.setenv("ZAPDEPLOY_CACHE", str(cache))
    recording = open_recording("synthetic", 2000)
    options = TrainingOptions(steps=1000, validation_windows=96)
    train(ForecasterSpec(f"linear-c{context}", 2000), recording, tmp_path, options)
    (found,) = evaluate_models([str(tmp_path)], recording)
    curve = [1000 * found.scores.mae[h - 1] for h in (1, 4, 8, 16, 32)]
    np.testing.assert_allclose(curve, expected, rtol=0.05)
