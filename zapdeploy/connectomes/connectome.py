"""Which neuron synapses on which: edges with counts and signs, and a table of the neurons."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import FloatArray, IntArray
from zapdeploy.errors import DataError


@dataclass(frozen=True, eq=False)
class Connectome:
    """A wiring diagram; arrays over edges, sorted by (post, pre), each pair once.

    ids [neurons]: identities as text. post, pre [edges]: the neurons that receive and send.
    synapses float32 [edges]: how many, positive. signs int8 [edges]: 1 excites, -1 inhibits, 0
    unknown. positions [neurons, 3] in micrometres or the table's own unit, None where unknown.
    type_of [neurons] numbers `types`. notes: what was done to the edges, each in words.
    """

    ids: NDArray[np.str_]
    post: NDArray[np.int32]
    pre: NDArray[np.int32]
    synapses: NDArray[np.float32]
    signs: NDArray[np.int8]
    positions: FloatArray | None = None
    types: tuple[str, ...] = ()
    type_of: NDArray[np.int32] | None = None
    source: str = "memory"
    notes: tuple[str, ...] = ()

    @property
    def neurons(self) -> int:
        return int(self.ids.size)

    @property
    def edges(self) -> int:
        return int(self.post.size)

    @cached_property
    def first(self) -> IntArray:
        """Where each neuron's inputs begin among the edges [neurons + 1]."""
        return np.searchsorted(self.post, np.arange(self.neurons + 1)).astype(np.int64)

    @property
    def in_degrees(self) -> IntArray:
        """Neurons that send to each neuron."""
        return np.bincount(self.post, minlength=self.neurons)

    @property
    def out_degrees(self) -> IntArray:
        """Neurons that each neuron sends to."""
        return np.bincount(self.pre, minlength=self.neurons)

    @property
    def kinds(self) -> NDArray[np.int32]:
        """The type of each neuron; 0 for all where none is known."""
        return np.zeros(self.neurons, np.int32) if self.type_of is None else self.type_of

    def matrix(self, values: NDArray[Any] | None = None) -> Any:
        """SciPy's CSR matrix [post, pre] of synapses, or of other values by edge."""
        from scipy.sparse import csr_array

        data = self.synapses if values is None else values
        return csr_array((data, self.pre, self.first), shape=(self.neurons, self.neurons))

    def with_edges(
        self, post: NDArray[Any], pre: NDArray[Any], synapses: NDArray[Any], signs: NDArray[Any]
    ) -> Connectome:
        """The same neurons with other edges, in any order, each pair once."""
        order = np.argsort(post.astype(np.int64) * self.neurons + pre, kind="stable")
        return replace(
            self,
            post=np.asarray(post[order], np.int32),
            pre=np.asarray(pre[order], np.int32),
            synapses=np.asarray(synapses[order], np.float32),
            signs=np.asarray(signs[order], np.int8),
        )

    def chosen(self, neurons: IntArray) -> Connectome:
        """These neurons in this order, -1 for one that has no wiring, and the edges among them."""
        place = np.full(self.neurons, -1, np.int64)
        known = neurons >= 0
        place[neurons[known]] = np.flatnonzero(known)
        post, pre = place[self.post], place[self.pre]
        kept = (post >= 0) & (pre >= 0)
        every = np.maximum(neurons, 0)
        positions = None
        if self.positions is not None:
            positions = np.where(known[:, None], self.positions[every], np.nan)
        smaller = replace(
            self,
            ids=np.where(known, self.ids[every], ""),
            positions=positions,
            type_of=None if self.type_of is None else np.where(known, self.type_of[every], 0),
        )
        return smaller.with_edges(post[kept], pre[kept], self.synapses[kept], self.signs[kept])


def check_size(neurons: int) -> None:
    """Raise DataError for a connectome of nothing."""
    if neurons < 2:
        raise DataError(f"neurons must be at least 2, not {neurons}; a wiring joins neurons")
