"""Bits give the same first common starts as intervals, and go over to them where they end."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from zapdeploy.sim.schedule.link_reservation import (
    busy_from,
    first_common,
    mark_busy,
    no_reservations,
    send,
)

LINKS = 6


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    horizon=st.sampled_from([1, 64, 200, 4000]),
    longest=st.sampled_from([2, 7, 150]),
    hop_latency=st.integers(1, 3),
)
def test_the_same_starts(seed: int, horizon: int, longest: int, hop_latency: int) -> None:
    random = np.random.default_rng(seed)
    count, release = 40, int(random.integers(0, 1000))
    first = np.concatenate([[0], np.cumsum(random.integers(1, LINKS + 1, count))])
    links = np.concatenate([random.permutation(LINKS)[: n - m] for m, n in pairwise(first)])
    hops = np.concatenate([np.arange(n - m) for m, n in pairwise(first)])
    cycles = random.integers(1, longest + 1, count)
    plain, beside = (no_reservations(np.full(LINKS, count)) for _ in range(2))
    busy = busy_from(release, LINKS, horizon)
    for p in range(count):
        low, high = first[p], first[p + 1]
        way = (links, hops, low, high, hop_latency, cycles[p])
        wanted = send(plain, *way, release)
        begin = first_common(busy, *way, release)
        assert release <= begin <= wanted
        assert send(beside, *way, begin) == wanted
        for i in range(low, high):
            mark_busy(busy, links[i], wanted + hops[i] * hop_latency, cycles[p])


def test_too_long_a_schedule_keeps_no_bits() -> None:
    busy = busy_from(5, 1000, 1 << 30)
    assert busy.bits.size == 0
    nothing = np.zeros(0, np.int64)
    assert first_common(busy, nothing, nothing, 0, 0, 1, 3, 9) == 9
