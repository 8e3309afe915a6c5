"""A user's weights, right and wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from zapdeploy.errors import DataError, UsageError  # noqa: E402
from zapdeploy.forecasters import build_model, export_model  # noqa: E402
from zapdeploy.forecasters.build import build_forecaster  # noqa: E402
from zapdeploy.forecasters.folder import ForecasterSpec, save_forecaster  # noqa: E402
from zapdeploy.forecasters.resnet50 import ResNet50  # noqa: E402
from zapdeploy.onnxruntime_sessions import Purpose, open_session  # noqa: E402


def mixer(checkpoint: Path | None = None, seed: int = 0) -> Any:
    return build_model("tsmixer-c4", neurons=9, width=3, seed=seed, checkpoint=checkpoint)


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        mixer(path)
    return str(caught.value).replace(str(path), path.name)


def test_a_state_dict_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "trained.pt"
    trained = mixer(seed=5)
    torch.save(trained.state_dict(), path)
    assert torch.equal(mixer(path).forecast.weight, trained.forecast.weight)


def test_safetensors_are_loaded(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    path = tmp_path / "trained.safetensors"
    trained = mixer(seed=5)
    safetensors.save_file(trained.state_dict(), path)
    assert torch.equal(mixer(path).forecast.weight, trained.forecast.weight)


def test_resnet_loads_without_batch_counters(tmp_path: Path) -> None:
    path = tmp_path / "resnet.pt"
    state = ResNet50().state_dict()
    old = {name: value for name, value in state.items() if "num_batches" not in name}
    torch.save(old, path)
    loaded = build_model("resnet50", checkpoint=path)
    assert torch.equal(loaded.state_dict()["fc.weight"], state["fc.weight"])
    assert not loaded.training


def test_every_wrong_tensor_is_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "wrong.pt"
    state = mixer().state_dict()
    del state["forecast.bias"]
    state["head.bias"] = torch.zeros(3)
    state["forecast.weight"] = torch.zeros(32, 256, 1)
    state["blocks.0.dense.bias"][0] = torch.nan
    torch.save(state, path)
    assert refusal(path) == (
        "checkpoint must hold the tensors of tsmixer-c4, not 1 missing (forecast.bias); "
        "1 unknown (head.bias); 1 of the wrong shape (forecast.weight [32, 256, 1] for "
        "[32, 4, 1]); 1 with NaN or infinity (blocks.0.dense.bias) (wrong.pt); "
        "export it from the same network at the same size"
    )


def test_a_long_list_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "empty.pt"
    torch.save({}, path)
    message = refusal(path)
    assert message.startswith("checkpoint must hold the tensors of tsmixer-c4, not 14 missing (")
    assert "and 6 more)" in message


def test_a_missing_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.pt") == (
        "checkpoint must be a file, not missing (none.pt); check the path"
    )


@pytest.mark.parametrize("name", ["noise.pt", "noise.safetensors"])
def test_a_file_of_something_else(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"not a checkpoint at all")
    message = refusal(path)
    assert message.startswith(
        "checkpoint must be a safetensors file or a torch state_dict, not unreadable: "
    )
    assert "\n" not in message


def test_a_whole_pickled_model_is_not_executed(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(mixer(), path)
    message = refusal(path)
    assert "must be a safetensors file or a torch state_dict, not unreadable" in message


def test_other_objects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.pt"
    torch.save({"epoch": 3}, path)
    assert refusal(path) == (
        "checkpoint must be a state_dict of tensors, not other Python objects (list.pt); "
        "save it with torch.save(model.state_dict(), file)"
    )


def test_a_trained_folder_says_its_sizes_and_switches(tmp_path: Path) -> None:
    """A forecaster of the change from the last frame must not become a plain one on its way."""
    spec = ForecasterSpec("linear-c4", 6, nlinear=True)
    trained = build_forecaster(spec, seed=2)
    save_forecaster(tmp_path / "t", spec, trained, {})
    loaded = build_model("linear-c4", checkpoint=tmp_path / "t")
    x = torch.rand(1, 4, 6)
    assert torch.equal(loaded(x), trained(x))
    export_model("linear-c4", tmp_path / "t.onnx", checkpoint=tmp_path / "t")
    session = open_session(tmp_path / "t.onnx", Purpose.INTEGER)
    np.testing.assert_allclose(
        session.run(None, {"input": x.numpy()})[0], trained(x).detach().numpy(), atol=1e-6
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("tsmixer-c256", {}, "model must be tsmixer-c4, not tsmixer-c256; that is what"),
        ("tsmixer-c4", {"neurons": 5}, "neurons must be 6, not 5; "),
        ("tsmixer-c4", {"width": 4}, "width must be 3, not 4; "),
    ],
)
def test_a_trained_folder_of_something_else(
    tmp_path: Path, name: str, options: dict[str, int], message: str
) -> None:
    spec = ForecasterSpec("tsmixer-c4", 6, 3)
    save_forecaster(tmp_path / "t", spec, build_forecaster(spec), {})
    with pytest.raises(UsageError) as caught:
        build_model(name, checkpoint=tmp_path / "t", **options)
    assert str(caught.value).startswith(message)
