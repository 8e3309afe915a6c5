"""The video model from training to the table: crops, resuming, ONNX, means over segments."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorstore")

from zapdeploy.benchmarks.accuracy.contenders import contenders, horizon_of, neurons_of  # noqa: E402
from zapdeploy.benchmarks.accuracy.evaluation import evaluate_models  # noqa: E402
from zapdeploy.errors import DataError, UsageError  # noqa: E402
from zapdeploy.forecasters.training_options import TrainingOptions  # noqa: E402
from zapdeploy.forecasters.video import VideoSpec, export_video, load_video, read_video  # noqa: E402
from zapdeploy.forecasters.video_training import train_video  # noqa: E402
from zapdeploy.recordings.recording import Recording  # noqa: E402
from zapdeploy.recordings.volume import Volume  # noqa: E402
from zapdeploy.recordings.zapbench import CONDITIONS, FRAMES, STIMULI  # noqa: E402

SHAPE = (2, 4, 4)
OPTIONS = TrainingOptions(steps=4, batch=2, validate_every=2, schedule="cosine")


class _Stored:
    """An array in the place of a TensorStore."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __getitem__(self, key: object) -> _Stored:
        return _Stored(self.values[key])  # type: ignore[call-overload]

    def read(self) -> _Stored:
        return self

    def result(self, timeout: float) -> np.ndarray:
        return self.values


@pytest.fixture(scope="module")
def fish() -> tuple[Recording, Volume]:
    random = np.random.default_rng(0)
    segments = np.arange(np.prod(SHAPE)).reshape(SHAPE) % 4
    voxels = random.normal(0, 0.1, (FRAMES, *SHAPE)).astype(np.float32)
    volume = Volume("fish", _Stored(voxels.transpose(3, 2, 1, 0)), segments)
    stimuli = np.zeros((FRAMES, STIMULI), np.float32)
    return Recording(volume.segment_means(voxels), stimuli, CONDITIONS, "fish"), volume


@pytest.fixture(scope="module")
def trained(fish: tuple[Recording, Volume], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("video") / "one"
    train_video(VideoSpec(3, SHAPE, width=4, blocks=1), *fish, folder, OPTIONS, (2, 2, 3))
    return folder


def test_a_killed_run_ends_with_the_same_weights(
    fish: tuple[Recording, Volume], trained: Path, tmp_path: Path
) -> None:
    def kill(what: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    spec = read_video(trained)
    with pytest.raises(KeyboardInterrupt):
        train_video(spec, *fish, tmp_path, OPTIONS, (2, 2, 3), kill)
    result = train_video(spec, *fish, tmp_path, OPTIONS, (2, 2, 3))
    assert result.steps == 4
    for name, value in load_video(trained)[1].state_dict().items():
        assert torch.equal(value, load_video(tmp_path)[1].state_dict()[name]), name
    with pytest.raises(UsageError, match="not another one: its crop is"):
        train_video(spec, *fish, tmp_path, OPTIONS)


def test_training_moves_the_weights(trained: Path) -> None:
    network = load_video(trained)[1]
    assert float(network.leave.weight.detach().abs().max()) > 0  # 0 at first


@pytest.mark.parametrize("form", ["folder", "onnx"])
def test_forecasts_are_means_over_segments(
    form: str, fish: tuple[Recording, Volume], trained: Path, tmp_path: Path
) -> None:
    recording, volume = fish
    model = trained if form == "folder" else export_video(trained, tmp_path / "video.onnx")
    assert horizon_of(str(model)) == 32
    assert neurons_of(str(model)) == (3, None)
    (contender,) = contenders(str(model), 3)
    forecast = contender.forecast
    forecast.volumes["fish"] = volume  # type: ignore[union-attr]
    found = forecast.windows(recording, [700], 32)  # type: ignore[union-attr]
    network = load_video(trained)[1]
    voxels = torch.from_numpy(volume.frames(700, 704))[None]
    for lead in (1, 32):
        with torch.inference_mode():
            made = network(voxels, torch.tensor([float(lead)]))[0, 0].numpy()
        wanted = [made[volume.segments == neuron].mean() for neuron in (1, 2, 3)]
        np.testing.assert_allclose(found[0, lead - 1], wanted, rtol=1e-4, atol=1e-5)
    subset = replace(recording, traces=recording.traces[:, [2]], columns=np.array([2]))
    part = forecast.windows(subset, [700], 32)  # type: ignore[union-attr]
    np.testing.assert_array_equal(part[..., 0], found[..., 2])


def test_begins_as_the_mean_of_the_context(
    fish: tuple[Recording, Volume], trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not trained yet errs as the naive mean, of voxels and so of segments."""
    from zapdeploy.benchmarks.accuracy import video
    from zapdeploy.forecasters.video import build_video

    recording, volume = fish
    network = build_video(read_video(trained)).eval()
    monkeypatch.setattr(video, "load_video", lambda folder: (None, network))
    monkeypatch.setattr(video, "recorded_volume", lambda source: volume)
    own, mean = evaluate_models([str(trained), "mean:4"], recording, windows=1)
    np.testing.assert_allclose(own.scores.mae, mean.scores.mae, rtol=1e-5)


def test_refusals(fish: tuple[Recording, Volume], trained: Path, tmp_path: Path) -> None:
    recording, volume = fish
    spec = read_video(trained)
    with pytest.raises(UsageError, match=r"crop must lie within \[2, 4, 4\] voxels"):
        train_video(spec, recording, volume, tmp_path, OPTIONS, (3, 1, 1))
    (contender,) = contenders(str(trained), 3)
    contender.forecast.volumes["fish"] = replace(volume, segments=volume.segments[:1])  # type: ignore[union-attr]
    with pytest.raises(DataError, match=r"volume must be \[2, 4, 4\] voxels of 3 neurons"):
        contender.forecast.windows(recording, [0], 32)  # type: ignore[union-attr]
    with pytest.raises(DataError, match="bring its volume, not be traces alone"):
        contender.forecast.windows(  # type: ignore[union-attr]
            Recording(recording.traces, recording.stimuli, CONDITIONS, "synthetic, seed 0"), [0], 32
        )
    document = json.loads((trained / "video.json").read_text())
    document["video"]["volume"] = [2, 4, -4]
    (tmp_path / "video.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match="must describe a video model"):
        read_video(tmp_path)
