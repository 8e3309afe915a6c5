"""Wirings to compare with: the edges shuffled, by distance alone, none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zapdeploy.connectomes.connectome import Connectome
from zapdeploy.errors import UsageError
from zapdeploy.extras import load

WIRED, SHUFFLED, DISTANCE, NONE = "wired", "shuffled", "distance", "none"
CONTROLS = (WIRED, SHUFFLED, DISTANCE, NONE)
ROUNDS = 60  # of repairing pairs that a shuffle made twice


def controlled(connectome: Connectome, control: str, seed: int = 0) -> Connectome:
    """The same neurons, wired otherwise.

    "wired": as they are. "shuffled": every neuron keeps how many it receives from and sends to, and
    what it sends (signs, synapse counts); whom, is drawn (the configuration model, pairs kept
    once). "distance": every neuron receives from the nearest, as many as before. "none": no edges.
    """
    if control == WIRED:
        return connectome
    if control == NONE:
        nothing = np.zeros(0, np.int64)
        return connectome.with_edges(nothing, nothing, nothing, nothing)
    if control == DISTANCE:
        return _by_distance(connectome)
    if control == SHUFFLED:
        return _shuffled(connectome, np.random.default_rng((seed, 14)))
    raise UsageError(f"--control must be one of {', '.join(CONTROLS)}, not '{control}'")


def _shuffled(connectome: Connectome, random: np.random.Generator) -> Connectome:
    """Receivers dealt anew; a pair that comes twice, or joins a neuron with itself, swaps its
    receiver with edges picked at random, until none is left."""
    count = connectome.neurons
    pre = connectome.pre.astype(np.int64)
    post = connectome.post.astype(np.int64)[random.permutation(connectome.edges)]
    for _ in range(ROUNDS):
        wrong = _wrong(pre, post, count)
        if not wrong.size:
            break
        others = random.integers(0, connectome.edges, wrong.size)
        mixed = np.unique(np.concatenate([wrong, others]))
        post[mixed] = post[random.permutation(mixed)]
    kept = np.ones(pre.size, bool)
    kept[_wrong(pre, post, count)] = False  # of a graph so dense that it cannot be shuffled
    return connectome.with_edges(
        post[kept], pre[kept], connectome.synapses[kept], connectome.signs[kept]
    )


def _wrong(pre: NDArray[np.int64], post: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Edges that repeat an earlier pair, or are self loops."""
    key = pre * count + post
    _, first = np.unique(key, return_index=True)
    wrong = np.ones(key.size, bool)
    wrong[first] = False
    return np.flatnonzero(wrong | (pre == post))


def _by_distance(connectome: Connectome) -> Connectome:
    if connectome.positions is None:
        raise UsageError(
            "--control distance must have positions of the neurons, not none; give columns x, y "
            "and z in the neuron table"
        )
    tree_of = load("scipy.spatial", "connectomes", "find near neurons").cKDTree
    places = np.asarray(connectome.positions)
    known = np.flatnonzero(np.isfinite(places).all(axis=1))
    tree = tree_of(places[known])
    degrees = np.where(np.isin(np.arange(connectome.neurons), known), connectome.in_degrees, 0)
    degrees = np.minimum(degrees, known.size - 1)
    post, pre = [], []
    for degree in np.unique(degrees[degrees > 0]):
        rows = np.flatnonzero(degrees == degree)
        _, near = tree.query(places[rows], k=int(degree) + 1)
        near = known[near]
        own = near == rows[:, None]
        own[~own.any(axis=1), -1] = True  # many at one place: the last stands for the neuron
        pre.append(near[~own])
        post.append(np.repeat(rows, degree))
    every_post, every_pre = np.concatenate(post), np.concatenate(pre)
    sign = np.zeros(connectome.neurons, np.int8)
    sign[connectome.pre] = connectome.signs
    synapses = np.full(every_post.size, connectome.synapses.mean())
    return connectome.with_edges(every_post, every_pre, synapses, sign[every_pre])
