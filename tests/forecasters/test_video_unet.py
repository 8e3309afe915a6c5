"""The volumetric forecaster: shapes at any size, and what each input changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")

from zapdeploy.errors import UsageError  # noqa: E402
from zapdeploy.forecasters.video_unet import VideoUNet, check_volume  # noqa: E402


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


def test_onnx_computes_what_torch_computes(tmp_path: Path) -> None:
    import warnings

    path, inputs = tmp_path / "u.onnx", (volume(), torch.tensor([8.0]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            small(), inputs, str(path), input_names=["x", "lead"], opset_version=17, dynamo=False
        )
    with torch.no_grad():
        expected = small()(*inputs).numpy()
    found = onnxruntime.InferenceSession(path).run(
        None, {"x": inputs[0].numpy(), "lead": inputs[1].numpy()}
    )[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_sizes_that_do_not_go() -> None:
    with pytest.raises(UsageError) as caught:
        check_volume(small(), (3, 8, 10))
    assert str(caught.value) == (
        "height and width must be multiples of 4, not 8 and 10 (video U-Net); crop the volume"
    )
    with pytest.raises(UsageError, match="context must be at least 1 and widths two or more"):
        VideoUNet(0)
