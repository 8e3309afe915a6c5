"""ZAPBench's video model: its size by hand, its embedding, and every option's shapes."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from zapdeploy.errors import UsageError  # noqa: E402
from zapdeploy.forecasters.video_nunet import VideoNunet, sinusoidal_embedding  # noqa: E402


def test_published_size() -> None:
    """Eight 3 x 3 x 3 convolutions of 128 channels, the way in and out, nine norms, five FiLMs."""
    convolutions = 8 * (27 * 128 * 128 + 128) + (27 * 4 * 128 + 128) + (27 * 128 + 1)
    norms, films = 9 * 2 * 128, 5 * (32 * 256 + 256)
    counted = sum(p.numel() for p in VideoNunet().parameters())
    assert counted == convolutions + norms + films == 3_601_921


def test_embedding() -> None:
    found = sinusoidal_embedding(torch.tensor([3.0]))
    assert found.shape == (1, 32)
    assert found[0, 0] == torch.cos(torch.tensor(3.0))
    assert found[0, 16] == torch.sin(torch.tensor(3.0))


@pytest.mark.parametrize("joins", [False, True])
@pytest.mark.parametrize("stimuli", [0, 5])
def test_options(joins: bool, stimuli: int) -> None:
    network = VideoNunet(2, 8, 1, ((1, 2, 2),), joins=joins, stimuli=stimuli).eval()
    assert network.factor == (1, 2, 2)
    known = (torch.rand(1, 2, 5), torch.rand(1, 1, 5)) if stimuli else ()
    found = network(torch.rand(1, 2, 3, 4, 6), torch.tensor([4.0]), *known)
    assert found.shape == (1, 1, 3, 4, 6)


def test_wrong_sizes() -> None:
    with pytest.raises(UsageError, match="must be at least 1, not 0, 128 and 4"):
        VideoNunet(context=0)
