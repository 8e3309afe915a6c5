"""The volumetric forecaster: shapes at any size, and what each input changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

from zapdeploy.errors import UsageError  # noqa: E402
from zapdeploy.forecasters import export_model, find_model, sample_inputs  # noqa: E402
from zapdeploy.forecasters.video_unet import VideoUNet, check_volume  # noqa: E402
from zapdeploy.forecasters.volumes import build_volume_network  # noqa: E402
from zapdeploy.onnxruntime_sessions import Purpose, open_session  # noqa: E402


def small() -> VideoUNet:
    torch.manual_seed(0)
    return VideoUNet(context=2, widths=(4, 8, 12)).eval()


def volume() -> torch.Tensor:
    return torch.rand(1, 2, 3, 8, 12, generator=torch.Generator().manual_seed(0))


def test_the_default_has_the_published_size() -> None:
    """3.6 million parameters, to two digits; the widths themselves are ours."""
    with torch.device("meta"):
        network = VideoUNet()
    assert round(sum(value.numel() for value in network.parameters()) / 1e6, 1) == 3.6


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 8, 12)])
def test_a_volume_in_gives_a_volume_out(shape: tuple[int, int, int]) -> None:
    check_volume(small(), shape)
    with torch.no_grad():
        found = small()(torch.rand(2, 2, *shape), torch.tensor([1.0, 32.0]))
    assert found.shape == (2, 1, *shape)


def test_lead_time_and_every_frame_matter() -> None:
    network, x = small(), volume().requires_grad_()
    first, last = (network(x, torch.tensor([lead])) for lead in (1.0, 32.0))
    assert (first - last).abs().max() > 1e-4
    first.sum().backward()
    assert (x.grad.abs().amax(dim=(0, 2, 3, 4)) > 0).all()


def test_it_learns_a_shift_of_the_last_frame() -> None:
    network, x = small().train(), volume()
    target = x[:, -1:] + 0.3
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = (network(x, torch.tensor([4.0])) - target).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(("volume", "batch"), [((3, 8, 16), 1), ((1, 24, 8), 2)])
def test_onnx_computes_what_torch_computes(
    tmp_path: Path, volume: tuple[int, int, int], batch: int
) -> None:
    """Traced on one voxel, made to measure: at any volume the file is the network."""
    path = export_model("video-unet", tmp_path / "u.onnx", width=8, volume=volume, batch=batch)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert "Shape" not in {node.op_type for node in model.graph.node}
    inputs = sample_inputs("video-unet", batch, volume=volume)
    with torch.no_grad():
        network = build_volume_network(find_model("video-unet"), width=8)
        expected = network(*map(torch.from_numpy, inputs.values())).numpy()
    found = open_session(Path(path), Purpose.INTEGER).run(None, inputs)[0]
    assert found.shape == (batch, 1, *volume)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_file_for_the_whole_brain_is_small(tmp_path: Path) -> None:
    """Its weights and shapes alone are written; nothing is forecast to write it."""
    path = export_model("video-unet", tmp_path / "u.onnx", width=4)
    shapes = [
        [d.dim_value for d in v.type.tensor_type.shape.dim] for v in onnx.load(path).graph.input
    ]
    assert shapes == [[1, 4, 72, 1152, 2048], [1]]
    assert path.stat().st_size < 2e6


def test_weights_of_ones_own(tmp_path: Path) -> None:
    info = find_model("video-unet")
    network = build_volume_network(info, width=4, seed=7)
    torch.save(network.state_dict(), tmp_path / "u.pt")
    again = build_volume_network(info, width=4, checkpoint=tmp_path / "u.pt")
    assert all(map(torch.equal, network.parameters(), again.parameters()))


def test_work_at_the_published_size() -> None:
    """Counted layer by layer: outputs times weights of each, per lead time."""
    macs = 0

    def count(
        layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor
    ) -> None:
        nonlocal macs
        spread = isinstance(layer, torch.nn.ConvTranspose3d)
        macs += (inputs[0] if spread else output).numel() * layer.weight[0].numel()

    info = find_model("video-unet")
    with torch.device("meta"):
        network = VideoUNet()
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv3d | torch.nn.ConvTranspose3d | torch.nn.Linear):
                layer.register_forward_hook(count)
        network(torch.zeros(1, *info.input_shape), torch.ones(1))
    assert macs == info.macs


def test_sizes_that_do_not_go() -> None:
    with pytest.raises(UsageError) as caught:
        check_volume(small(), (3, 8, 10))
    assert str(caught.value) == (
        "height and width must be multiples of 4, not 8 and 10 (video U-Net); crop the volume"
    )
    with pytest.raises(UsageError, match="context must be at least 1 and widths two or more"):
        VideoUNet(0)
    for arguments, message in (
        (("video-unet", {"volume": (3, 8, 10)}), "multiples of 8, not 8 and 10"),
        (("video-unet", {"width": 1}), "width must be at least 2, not 1 (video-unet)"),
        (("linear-c4", {"volume": (3, 8, 8)}), "volume must be left out for linear-c4, not set"),
    ):
        name, options = arguments
        with pytest.raises(UsageError) as caught:
            export_model(name, Path("nowhere.onnx"), **options)
        assert message in str(caught.value)
