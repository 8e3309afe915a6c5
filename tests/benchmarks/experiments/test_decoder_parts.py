"""A small decoder in parts: made, compiled over chips, and run with its caches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from zapdeploy.api import compile_model
from zapdeploy.benchmarks.experiments.decoder_parts import DecoderPlan, make_parts
from zapdeploy.benchmarks.experiments.decoder_pipeline import compared
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.multichip.pipeline import Pipeline
from zapdeploy.sim.frames import run_frames
from zapdeploy.sim.functional import Network
from zapdeploy.sim.results import summarize
from zapdeploy.sim.staged import run_pipeline

PLAN = DecoderPlan(layers=3, width=32, heads=4, kv_heads=2, hidden=64, vocabulary=40, tokens=8)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_parts(PLAN, tmp_path_factory.mktemp("decoder"))


@pytest.fixture(scope="module")
def pipeline(parts: Path) -> Pipeline:
    return compile_model(parts, output=parts.parent / "decoder.zap")


def test_three_billion_parameters() -> None:
    """14 x (2 x 4096 x (4096 + 1024) + 3 x 4096 x 14336) + 4096 x 49152, by hand 3.25e9."""
    assert DecoderPlan().parameters == 14 * (2 * 4096 * 5120 + 3 * 4096 * 14336) + 4096 * 49152


def test_layers_hand_on_and_differ(parts: Path) -> None:
    files = [onnx.load(path) for path in sorted(parts.glob("*.onnx"))]
    assert len(files) == 5
    first = [(f.graph.input[0].name, f.graph.output[0].name) for f in files]
    assert first == [
        ("hidden_0", "hidden_1"),
        ("hidden_1", "hidden_2"),
        ("hidden_2", "hidden_3"),
        ("hidden_3", "logits_0"),
        ("hidden_3", "logits_1"),
    ]
    assert len({f.SerializeToString() for f in files}) == 5
    weights = [{t.name: t.raw_data for t in f.graph.initializer} for f in files[:2]]
    large = [name for name, raw in weights[0].items() if len(raw) > 400]
    assert large
    assert all(weights[0][name] != weights[1][name] for name in large)


def test_over_five_chips(pipeline: Pipeline) -> None:
    assert len(pipeline.stages) == 5
    assert [v.name for v in pipeline.inputs[:2]] == ["hidden_0", "position"]
    assert len(pipeline.state) == 2 * PLAN.layers
    links = {link.value: link.readers for link in pipeline.links}
    assert links == {"hidden_1": (1,), "hidden_2": (2,), "hidden_3": (3, 4)}
    macs = sum(layer.macs for stage in pipeline.stages for layer in stage.layers)
    cached = 2 * PLAN.layers * PLAN.width * PLAN.tokens  # scores, and the values they weigh
    assert macs == PLAN.parameters + cached


def test_tokens_one_after_the_other(pipeline: Pipeline, parts: Path) -> None:
    """As the parts run one by one, each with its own caches."""
    random = np.random.default_rng(0)
    frames = [
        {
            "hidden_0": random.normal(0, 1, (1, 1, PLAN.width)).astype(np.float32),
            "position": np.full((1, 1, 1, 1), token, np.float32),
        }
        for token in range(4)
    ]
    found = run_pipeline(pipeline, frames)
    values = [dict(frame) for frame in frames]
    for path in sorted(parts.glob("*.onnx")):
        graph = import_model(path).graph
        given = [{n: v[n] for n in graph.inputs if n in v} for v in values]
        for value, made in zip(
            values, run_frames(graph, Network.of(graph).run, given), strict=True
        ):
            value.update(made)
    for ours, theirs in zip(found, values, strict=True):
        assert ours.keys() == {"logits_0", "logits_1"}
        for name in ours:
            assert np.ptp(ours[name]) > 0
            np.testing.assert_array_equal(ours[name], theirs[name])


def test_sequences_that_fit(pipeline: Pipeline, parts: Path) -> None:
    result = summarize(pipeline)
    found = compared(PLAN, parts, {**result.as_json(), "peak_rss_bytes": 0})
    ours = found["simulated"]
    assert ours["sequences"] > 100, "768 KiB a core for caches of 8 tokens"
    assert ours["tokens_per_s"] == result.throughput_fps
    assert ours["tokens_per_s_alone"] == pytest.approx(1 / result.latency_s)
    assert found["published"]["tokens_per_s"] == 28_356
