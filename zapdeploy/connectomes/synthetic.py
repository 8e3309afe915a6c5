"""A made connectome of a real kind, and activity that is made by it.

Neurons lie in an ellipsoid of a larval zebrafish's brain, in clusters (nuclei). Each cluster has
neurons of a few types; every neuron sends synapses to others of its cluster and of the nearest
ones, the fewer the farther (an exponential of the distance), and a share along tracts, from its
cluster to a few far ones. In- and out-degrees are lognormal, synapses of an edge geometric, and
what a neuron releases decides the sign of all its synapses (Dale). Everything comes from the seed.

Whatever is computed from it must be labelled synthetic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zapdeploy.connectomes.connectome import Connectome, check_size
from zapdeploy.errors import UsageError

BRAIN_UM = (400.0, 180.0, 120.0)  # half axes, micrometres
CLUSTER_NEURONS = 300
CLUSTER_SHARE = 0.28  # of the distance between clusters: how wide one is
REACH = 0.5  # of the distance between clusters: how fast local synapses become fewer
NEAR = 7  # clusters that local synapses go to, the own one among them
TYPES = ("excitatory, local", "excitatory, projecting", "inhibitory", "inhibitory, wide")
TYPE_SHARES = (0.45, 0.25, 0.2, 0.1)
TRACT_SHARES = (0.05, 0.6, 0.05, 0.3)  # of a type's synapses, those along tracts
TRACTS = 4  # far clusters that a cluster sends to
DEGREE_SIGMA = 0.6  # of the lognormal degrees
SYNAPSES_MEAN = 2.5  # of an edge
MOST_DEGREE_SHARE = 0.5


@dataclass(frozen=True)
class Plan:
    """How large it is: neurons, and edges per neuron on average."""

    neurons: int
    degree: float
    seed: int = 0

    def __post_init__(self) -> None:
        check_size(self.neurons)
        if not 0 < self.degree <= MOST_DEGREE_SHARE * self.neurons:
            raise UsageError(
                f"--degree must be above 0 and at most {MOST_DEGREE_SHARE * self.neurons:g} for "
                f"{self.neurons:,} neurons, not {self.degree:g}"
            )


def default_degree(neurons: int) -> float:
    """Edges per neuron: 209 at 71,721 neurons (15 million in all), fewer for few."""
    return max(1.0, min(209.15, neurons / 20))


def synthetic_connectome(plan: Plan) -> Connectome:
    """Made from the plan's seed; its identities are "0", "1", ..., as columns are numbered."""
    random = np.random.default_rng((plan.seed, 11))
    count = plan.neurons
    clusters = max(1, round(count / CLUSTER_NEURONS))
    centres = _in_brain(random, clusters)
    spacing = float(np.prod(BRAIN_UM) * 4.19 / clusters) ** (1 / 3)
    cluster = random.integers(0, clusters, count)
    places = centres[cluster] + CLUSTER_SHARE * spacing * random.standard_normal((count, 3))
    kind = random.choice(len(TYPES), count, p=TYPE_SHARES)
    near, tracts = _targets(random, centres, REACH * spacing)
    pre, post = _edges(random, plan, cluster, kind, near, tracts)
    synapses = random.geometric(1 / SYNAPSES_MEAN, pre.size).astype(np.float32)
    sign = np.where(kind < 2, 1, -1).astype(np.int8)
    empty = Connectome(
        ids=np.arange(count).astype(np.str_),
        post=np.zeros(0, np.int32),
        pre=np.zeros(0, np.int32),
        synapses=np.zeros(0, np.float32),
        signs=np.zeros(0, np.int8),
        positions=places,
        types=TYPES,
        type_of=kind.astype(np.int32),
        source=f"synthetic, seed {plan.seed}",
    )
    return empty.with_edges(post, pre, synapses, sign[pre])


def _in_brain(random: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Points [count, 3] evenly in the ellipsoid."""
    direction = random.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return direction * random.random((count, 1)) ** (1 / 3) * np.array(BRAIN_UM)


def _targets(
    random: np.random.Generator, centres: NDArray[np.float64], reach: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Chances that a local synapse goes from cluster to cluster [clusters, clusters], summed up
    along rows, and the far clusters that each sends tracts to [clusters, TRACTS]."""
    count = len(centres)
    distance = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    chance = np.exp(-distance / reach)
    nearest = np.argsort(distance, axis=1)[:, :NEAR]
    beyond = np.ones(distance.shape, bool)
    np.put_along_axis(beyond, nearest, False, axis=1)
    chance[beyond] = 0
    tracts = np.stack([random.integers(0, count, count) for _ in range(TRACTS)], axis=1)
    return np.cumsum(chance / chance.sum(axis=1, keepdims=True), axis=1), tracts


def _edges(
    random: np.random.Generator,
    plan: Plan,
    cluster: NDArray[np.int64],
    kind: NDArray[np.int64],
    near: NDArray[np.float64],
    tracts: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Exactly degree times neurons pairs (pre, post), each once, none with itself."""
    count, wanted = plan.neurons, round(plan.degree * plan.neurons)
    out_weight = random.lognormal(0, DEGREE_SIGMA, count)
    in_weight = random.lognormal(0, DEGREE_SIGMA, count)
    order = np.argsort(cluster, kind="stable")
    starts = np.searchsorted(cluster[order], np.arange(len(near) + 1))
    total = np.concatenate([[0.0], np.cumsum(in_weight[order])])
    found = np.empty(0, np.int64)
    while found.size < wanted:
        missing = wanted - found.size
        drawn = _drawn(
            random, int(missing * 1.3) + 64, out_weight, cluster, kind, near, tracts, order, starts,
            total,
        )  # fmt: skip
        every = np.concatenate([found, drawn])
        _, first = np.unique(every, return_index=True)
        found = every[np.sort(first)][:wanted]
    return found // count, found % count


def _drawn(
    random: np.random.Generator,
    number: int,
    out_weight: NDArray[np.float64],
    cluster: NDArray[np.int64],
    kind: NDArray[np.int64],
    near: NDArray[np.float64],
    tracts: NDArray[np.int64],
    order: NDArray[np.int64],
    starts: NDArray[np.int64],
    total: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Edges as pre * neurons + post: a sender, a cluster, and a receiver in it by its weight."""
    count = cluster.size
    pre = random.choice(count, number, p=out_weight / out_weight.sum())
    home = cluster[pre]
    far = random.random(number) < np.array(TRACT_SHARES)[kind[pre]]
    goal = np.empty(number, np.int64)
    goal[far] = tracts[home[far], random.integers(0, TRACTS, int(far.sum()))]
    local = ~far
    # Rows of `near` end at 1: row numbers added make one rising table of all rows.
    table = (near + np.arange(len(near))[:, None]).reshape(-1)
    chosen = np.searchsorted(table, random.random(int(local.sum())) + home[local], side="right")
    goal[local] = np.minimum(chosen, table.size - 1) % len(near)
    low, high = total[starts[goal]], total[starts[goal + 1]]
    at = np.searchsorted(total, low + random.random(number) * (high - low), side="right") - 1
    post = order[np.minimum(at, count - 1)]
    pairs: NDArray[np.int64] = pre * count + post
    return pairs[(pre != post) & (high > low)]
