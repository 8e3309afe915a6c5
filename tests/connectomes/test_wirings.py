"""Made connectomes, controls, orders, matching, and activity made by a wiring."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zapdeploy.connectomes import ordering as order_module
from zapdeploy.connectomes import spreading
from zapdeploy.connectomes.activity import GAIN, synthetic_activity, true_weights
from zapdeploy.connectomes.connectome import Connectome
from zapdeploy.connectomes.controls import controlled
from zapdeploy.connectomes.facts import connectome_facts
from zapdeploy.connectomes.matching import match
from zapdeploy.connectomes.ordering import BLOCK, METHODS, block_facts, blocks_of_cores, ordering
from zapdeploy.connectomes.picture import density, draw_connectome
from zapdeploy.connectomes.reading import open_connectome
from zapdeploy.connectomes.saving import save_connectome
from zapdeploy.connectomes.synthetic import Plan, synthetic_connectome
from zapdeploy.errors import DataError, UsageError


def made(neurons: int = 600, degree: float = 12, seed: int = 0) -> Connectome:
    return synthetic_connectome(Plan(neurons, degree, seed))


def pairs(connectome: Connectome) -> set[tuple[int, int]]:
    return set(zip(connectome.pre.tolist(), connectome.post.tolist(), strict=True))


@settings(max_examples=20, deadline=None)
@given(neurons=st.integers(2, 300), degree=st.floats(0.01, 0.5), seed=st.integers(0, 2**31))
def test_a_made_connectome_is_sound(neurons: int, degree: float, seed: int) -> None:
    plan = Plan(neurons, degree * neurons, seed)
    found = synthetic_connectome(plan)
    assert found.edges == round(plan.degree * neurons)
    assert len(pairs(found)) == found.edges
    assert (found.pre != found.post).all()
    order = np.lexsort((found.pre, found.post))
    assert (order == np.arange(found.edges)).all()
    assert np.array_equal(found.matrix().toarray(), synthetic_connectome(plan).matrix().toarray())
    for neuron in np.unique(found.pre):  # Dale: what a neuron releases is the same everywhere
        assert np.unique(found.signs[found.pre == neuron]).size == 1


def test_near_neurons_are_wired_more_and_degrees_are_wide() -> None:
    found = made(3000, 40)
    assert found.positions is not None
    length = np.linalg.norm(found.positions[found.post] - found.positions[found.pre], axis=1)
    random = np.random.default_rng(0).integers(0, 3000, (2, 20_000))
    apart = np.linalg.norm(found.positions[random[0]] - found.positions[random[1]], axis=1)
    assert np.median(length) < 0.8 * np.median(apart)
    assert np.percentile(length, 95) > np.median(apart)  # tracts
    assert np.percentile(found.in_degrees, 95) > 2 * np.median(found.in_degrees)


@pytest.mark.parametrize("wrong", [(1, 1.0), (10, 0.0), (10, 6.0), (10, float("nan"))])
def test_plans_that_cannot_be(wrong: tuple[int, float]) -> None:
    with pytest.raises((UsageError, DataError), match="must be"):
        Plan(*wrong)


@settings(max_examples=20, deadline=None)
@given(neurons=st.integers(20, 200), degree=st.floats(0.01, 0.15), seed=st.integers(0, 2**31))
def test_shuffled_edges_keep_every_degree(neurons: int, degree: float, seed: int) -> None:
    given_ = synthetic_connectome(Plan(neurons, degree * neurons, seed))
    found = controlled(given_, "shuffled", seed)
    assert len(pairs(found)) == found.edges
    assert (found.pre != found.post).all()
    lost = given_.edges - found.edges  # of graphs so dense that no simple one was found
    assert lost <= max(3, 0.05 * given_.edges)
    if not lost:
        assert np.array_equal(found.in_degrees, given_.in_degrees)
        assert np.array_equal(found.out_degrees, given_.out_degrees)
        assert sorted(found.synapses.tolist()) == sorted(given_.synapses.tolist())


def test_controls_are_what_they_say() -> None:
    given_ = made()
    assert controlled(given_, "wired") is given_
    assert controlled(given_, "none").edges == 0
    shuffled = controlled(given_, "shuffled", 3)
    assert len(pairs(shuffled) & pairs(given_)) < 0.2 * given_.edges
    assert pairs(shuffled) != pairs(controlled(given_, "shuffled", 4))
    near = controlled(given_, "distance")
    assert np.array_equal(near.in_degrees, given_.in_degrees)
    assert given_.positions is not None
    distance = np.linalg.norm(given_.positions - given_.positions[7], axis=1)
    degree = int(given_.in_degrees[7])
    assert set(near.pre[near.post == 7].tolist()) == set(np.argsort(distance)[1 : degree + 1])
    with pytest.raises(UsageError, match="must be one of wired, shuffled, distance, none"):
        controlled(given_, "other")
    with pytest.raises(UsageError, match="must have positions"):
        controlled(replace(given_, positions=None), "distance")


@pytest.mark.parametrize("method", ["metis", "spectral", "cuthill-mckee", "none", None])
def test_an_order_has_every_neuron_once(method: str | None) -> None:
    given_ = made(1000)
    found = ordering(given_, method)
    assert np.array_equal(np.sort(found.order), np.arange(1000))
    assert found.method == (method or found.method)
    if method is None:
        blocks = [block_facts(given_, ordering(given_, m).order).blocks for m in METHODS[:2]]
        assert block_facts(given_, found.order).blocks == min(blocks)


def test_the_partitioner_finds_hidden_blocks() -> None:
    """Groups of 32 that are wired among themselves alone, shuffled: 40 blocks suffice."""
    count, random = 40 * BLOCK, np.random.default_rng(0)
    hidden = random.permutation(count)
    inside = np.argwhere(random.random((BLOCK, BLOCK)) < 0.5)
    inside = inside[inside[:, 0] != inside[:, 1]]
    every = (inside[None] + BLOCK * np.arange(40)[:, None, None]).reshape(-1, 2)
    nothing = made(count)
    wired = nothing.with_edges(
        hidden[every[:, 0]], hidden[every[:, 1]], np.ones(len(every)), np.ones(len(every))
    )
    before = block_facts(wired, np.arange(count))
    after = block_facts(wired, ordering(wired, "metis").order)
    assert before.share > 0.9
    assert after.blocks == 40
    assert after.fill == pytest.approx(len(inside) / BLOCK**2)


def test_rows_are_spread_so_that_cores_hold_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """40 cores with 5 rows each, of which the heaviest stand side by side: after it, none has more
    than the margin over the mean, and cores hear no more senders together than before."""
    monkeypatch.setattr(spreading, "CORES", 40)
    random = np.random.default_rng(0)
    near = np.abs(np.arange(200)[:, None] - np.arange(200)) % 197
    reach = np.sort(random.lognormal(2.5, 0.6, 200))[:, None]
    hears = random.random((200, 200)) < np.exp(-near / reach)
    order = spreading.spread(hears, movable=199)

    def loads(of: np.ndarray) -> np.ndarray:
        return np.asarray(of.reshape(40, 5, 200).sum(axis=(1, 2)))

    def heard(of: np.ndarray) -> int:
        return int(of.reshape(40, 5, 200).any(axis=1).sum())

    mean = hears.sum() / 40
    assert np.array_equal(np.sort(order), np.arange(200))
    assert order[-1] == 199
    assert loads(hears).max() > 1.5 * mean
    assert loads(hears[order])[:-1].max() <= np.ceil(spreading.MARGIN * mean)
    assert heard(hears[order]) < 40 * 200 / 2
    assert np.array_equal(spreading.spread(hears[:40], 40), np.arange(40))


def test_a_block_that_is_not_full_stays_the_last() -> None:
    given_ = made(260 * BLOCK + 5, 3)
    found = ordering(given_, "spectral").order
    assert np.array_equal(np.sort(found), np.arange(given_.neurons))


def test_blocks_of_cores_are_counted_as_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five blocks of rows on three cores: two, two and one."""
    monkeypatch.setattr(order_module, "CORES", 3)
    post = np.array([0, 1, BLOCK, 3 * BLOCK, 4 * BLOCK])
    pre = np.array([2, 4 * BLOCK, 5, 6, 2 * BLOCK])
    one = made(5 * BLOCK, 1).with_edges(post, pre, np.ones(5), np.ones(5))
    assert blocks_of_cores(one, np.arange(5 * BLOCK)).tolist() == [3, 1, 1]


def test_blocks_are_counted_as_by_hand() -> None:
    given_ = made(100, 3)
    place = np.random.default_rng(1).permutation(100)
    dense = np.zeros((128, 128), bool)
    dense[np.argsort(place)[given_.post], np.argsort(place)[given_.pre]] = True
    blocks = dense.reshape(4, 32, 4, 32).any(axis=(1, 3)).sum()
    found = block_facts(given_, place)
    assert (found.blocks, found.of) == (blocks, 16)
    assert density(given_, place).sum() == pytest.approx(given_.edges)


def test_matching_by_identity_and_its_report() -> None:
    given_ = made(50, 5)
    pre, post = int(given_.pre[0]), int(given_.post[0])
    other = next(n for n in range(50) if n not in (pre, post))
    names = [str(post), "x", str(pre), str(other)]
    found = match(given_, names, range(4), "here")
    assert found.matched == 3
    assert found.unwired == ("x",)
    assert len(found.unrecorded) == 47
    assert found.wiring.edges + found.lost_edges == given_.edges
    dense, small = given_.matrix().toarray(), found.wiring.matrix().toarray()
    assert small[0, 2] == dense[post, pre] > 0
    assert small[3, 0] == dense[other, post]
    assert not small[1].any()
    by_number = match(given_, None, [post, pre], "here")
    assert by_number.wiring.ids.tolist() == [str(post), str(pre)]
    with pytest.raises(DataError, match="must have edges among the recorded neurons, not none"):
        match(given_, ["p", "q"], range(2), "here")


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    given_ = made(80, 4)
    save_connectome(given_, tmp_path)
    found = open_connectome(str(tmp_path))
    assert np.array_equal(found.matrix().toarray(), given_.matrix().toarray())
    assert np.array_equal(found.signs, given_.signs)
    assert [found.types[k] for k in found.kinds] == [given_.types[k] for k in given_.kinds]
    assert np.allclose(found.positions, given_.positions, rtol=1e-5)


def test_activity_follows_the_wiring() -> None:
    """Of a large gain without noise of observation: what a neuron does next follows from W."""
    given_ = made(60, 6)
    weights = true_weights(given_, 1)
    assert set(zip(*weights.tocoo().coords, strict=True)) == {(b, a) for a, b in pairs(given_)}
    assert np.abs(np.linalg.eigvals(weights.toarray())).max() == pytest.approx(GAIN, rel=0.3)
    traces = synthetic_activity(given_, 50, 1)
    assert traces.shape == (50, 60)
    assert traces.dtype == np.float32
    assert np.isfinite(traces).all()
    assert np.array_equal(traces, synthetic_activity(given_, 50, 1))
    assert not np.array_equal(traces, synthetic_activity(given_, 50, 2))


def test_facts_and_picture() -> None:
    facts = connectome_facts(made(200, 10))
    assert dict(facts.lines)["edges"] == "2,000, 5.000% of all pairs"
    assert facts.as_json()["blocks"] == 49
    assert draw_connectome(facts)[:8] == b"\x89PNG\r\n\x1a\n"
