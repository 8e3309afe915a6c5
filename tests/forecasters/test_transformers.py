"""Transformer networks: modules against torch's own attention, files against the modules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from zapdeploy.errors import UsageError  # noqa: E402
from zapdeploy.forecasters import build_model, export_model, sample_inputs  # noqa: E402
from zapdeploy.forecasters.attention import Attention, in_heads  # noqa: E402
from zapdeploy.forecasters.bert import EncoderLayer  # noqa: E402
from zapdeploy.forecasters.decoder import CachedAttention, DecoderSize, _rotated  # noqa: E402
from zapdeploy.forecasters.poco import Gathering  # noqa: E402
from zapdeploy.forecasters.transformers import (  # noqa: E402
    TransformerNetwork,
    decoder_network,
    encoder_network,
    export_transformer,
    poco_network,
    transformer_samples,
)
from zapdeploy.onnxruntime_sessions import Purpose, open_session  # noqa: E402

SMALL = DecoderSize(layers=2, width=32, heads=4, kv_heads=2, hidden=48, tokens=8)
NETWORKS: dict[str, Callable[[], TransformerNetwork]] = {
    "encoder": lambda: encoder_network(2, 32, 4, 64, tokens=12),
    "decoder": lambda: decoder_network(SMALL),
    "poco": lambda: poco_network(20, width=32),
}


def test_attention_is_torchs_own() -> None:
    torch.manual_seed(0)
    ours, theirs = Attention(24, 3), torch.nn.MultiheadAttention(24, 3, batch_first=True)
    layers = (ours.query, ours.key, ours.value)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([layer.weight for layer in layers]))
        theirs.in_proj_bias.copy_(torch.cat([layer.bias for layer in layers]))
        theirs.out_proj.weight.copy_(ours.output.weight)
        theirs.out_proj.bias.copy_(ours.output.bias)
        x, memory = torch.randn(2, 5, 24), torch.randn(2, 7, 24)
        torch.testing.assert_close(ours(x, memory), theirs(x, memory, memory)[0])


def test_encoder_layer_is_torchs_own() -> None:
    """The number of parameters of BERT-base's 12 layers is 12 times this one's at width 768."""
    torch.manual_seed(1)
    ours = EncoderLayer(24, 3, 48).eval()
    theirs = torch.nn.TransformerEncoderLayer(
        24, 3, 48, dropout=0, activation="gelu", layer_norm_eps=1e-12, batch_first=True
    ).eval()
    attention = ours.attention
    layers = (attention.query, attention.key, attention.value)
    pairs = {
        "self_attn.in_proj_weight": torch.cat([layer.weight for layer in layers]),
        "self_attn.in_proj_bias": torch.cat([layer.bias for layer in layers]),
        "self_attn.out_proj.weight": attention.output.weight,
        "self_attn.out_proj.bias": attention.output.bias,
        **{f"linear1.{k}": v for k, v in ours.up.state_dict().items()},
        **{f"linear2.{k}": v for k, v in ours.down.state_dict().items()},
        **{f"norm1.{k}": v for k, v in ours.norm1.state_dict().items()},
        **{f"norm2.{k}": v for k, v in ours.norm2.state_dict().items()},
    }
    theirs.load_state_dict(pairs)
    x = torch.randn(2, 5, 24)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)
    parameters = sum(p.numel() for p in encoder_network().module.parameters())
    assert parameters == 12 * (4 * 769 * 768 + 769 * 3072 + 3073 * 768 + 4 * 768)


def test_token_by_token_is_causal_attention_over_all_tokens() -> None:
    """What a cache is for: the oracle is torch's attention with a causal mask."""
    torch.manual_seed(2)
    attention = CachedAttention(SMALL).eval()
    x = torch.randn(2, SMALL.tokens, SMALL.width)
    keys, values = attention.remember(x)
    angles = attention.tokens[:, None] * attention.frequencies
    queries = _rotated(in_heads(attention.query(x), SMALL.heads), angles)
    shared = (t.repeat_interleave(SMALL.heads // SMALL.kv_heads, dim=1) for t in (keys.mT, values))
    found = torch.nn.functional.scaled_dot_product_attention(queries, *shared, is_causal=True)
    expected = attention.output(found.transpose(1, 2).reshape(x.shape))
    key, value = torch.zeros_like(keys), torch.zeros_like(values)
    for token in range(SMALL.tokens):
        position = torch.full((2, 1, 1, 1), float(token))
        y, key, value = attention(x[:, token : token + 1], position, key, value)
        torch.testing.assert_close(y, expected[:, token : token + 1], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(key, keys)
    torch.testing.assert_close(value, values)


def test_rotary_embedding_knows_distances_alone() -> None:
    torch.manual_seed(3)
    attention = CachedAttention(SMALL)
    a, b = torch.randn(2, SMALL.head_size)

    def product(first: float, second: float) -> float:
        turned = (_rotated(v, p * attention.frequencies) for v, p in ((a, first), (b, second)))
        return float(torch.dot(*turned))

    assert product(3, 5) == pytest.approx(product(10, 12), rel=1e-4)
    assert product(3, 5) != pytest.approx(product(3, 6), rel=1e-4)


def test_gathering_is_attention_of_the_latents() -> None:
    """With queries that are no tokens' but constants; more neurons than are summed at once."""
    torch.manual_seed(4)
    gather = Gathering(24, 3).eval()
    x = torch.randn(1, 33_000, 24)
    with torch.no_grad():
        key, value = (in_heads(layer(x), 3) for layer in (gather.key, gather.value))
        found = torch.nn.functional.scaled_dot_product_attention(gather.query[None], key, value)
        expected = gather.output(found.transpose(1, 2).reshape(1, 8, 24))
        torch.testing.assert_close(gather(x), expected, rtol=1e-4, atol=1e-5)


def test_parameters_of_poco_by_hand() -> None:
    width, latents, dense = 128, 8, 128 * 129
    gather = latents * width + width * width + 2 * dense
    block = 4 * width + 4 * dense + 4 * width * (width + 1) + width * (4 * width + 1)
    spread = 2 * width + 4 * dense + 2 * dense
    others = 2 * (4 * width + width) + width * 32 + 32
    counted = sum(p.numel() for p in poco_network(100).module.parameters())
    assert counted == 100 * width + gather + block + spread + others
    assert gather + block + spread + others == 353_440


@pytest.mark.parametrize("name", NETWORKS)
def test_files_compute_what_the_modules_do(tmp_path: Path, name: str) -> None:
    network = NETWORKS[name]()
    path = export_transformer(network, tmp_path / "n.onnx", batch=2)
    again = export_transformer(NETWORKS[name](), tmp_path / "again.onnx", batch=2)
    assert path.read_bytes() == again.read_bytes()
    samples = transformer_samples(network, 2)
    found = open_session(Path(path), Purpose.INTEGER).run(list(network.outputs), samples)
    with torch.no_grad():
        expected = network.module(*(torch.from_numpy(samples[k]) for k in network.inputs))
    expected = expected if isinstance(expected, tuple) else (expected,)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-4, atol=1e-5)


def test_samples_remember_nothing_of_the_future() -> None:
    samples = transformer_samples(decoder_network(SMALL), 16, seed=5)
    for index, position in enumerate(samples["position"].ravel().astype(int)):
        assert not samples["past_value_1"][index, :, position:].any()
        assert samples["past_key_0"][index, :, :, :position].all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Attention(10, 3), "width must be a multiple of heads, 3, not 10 (attention)"),
        (lambda: DecoderSize(heads=8, kv_heads=3), "heads must be a multiple of kv_heads and of"),
        (lambda: DecoderSize(tokens=0), "layers, hidden and tokens must be at least 1, not"),
        (lambda: poco_network(0), "neurons must be at least 1, not 0 (poco); give a size"),
    ],
)
def test_refusals(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "bert-base",
            {"neurons": 100},
            "neurons must be left out for bert-base, not 100; its",
        ),
        ("poco-c4", {"width": 64}, "width must be left out for poco-c4, not 64; its size is fixed"),
        ("decoder-layer", {"checkpoint": "w.pt"}, "checkpoint must be left out for decoder-layer,"),
    ],
)
def test_sizes_that_are_fixed(
    tmp_path: Path, name: str, options: dict[str, Any], message: str
) -> None:
    for function in (
        lambda: export_model(name, tmp_path / "n.onnx", **options),
        lambda: build_model(name, **options),
    ):
        with pytest.raises(UsageError) as caught:
            function()
        assert str(caught.value).startswith(message)


def test_a_network_by_name(tmp_path: Path) -> None:
    """Of any number of neurons; samples go with it."""
    path = export_model("poco-c4", tmp_path / "poco.onnx", neurons=30)
    samples = sample_inputs("poco-c4", 1, neurons=30)
    (found,) = open_session(Path(path), Purpose.INTEGER).run(None, samples)
    assert found.shape == (1, 32, 30)
    module = build_model("poco-c4", neurons=30)
    with torch.no_grad():
        expected = module(torch.from_numpy(samples["input"])).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
