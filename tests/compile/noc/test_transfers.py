"""Moving tensors between cuts, against moving them element by element over a small mesh."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compile.noc.meshes import Core, Loads
from zapdeploy.compile.graph import Shape
from zapdeploy.compile.mapping.tiling import Cuts, Space, enumerate_cuts
from zapdeploy.compile.noc.mesh import Mesh
from zapdeploy.compile.noc.transfers import (
    Traffic,
    arrivals,
    arrivals_from_afar,
    from_framebuffer,
    route,
)
from zapdeploy.compile.regions import Region

ROWS, COLUMNS = 4, 4
CORES = ROWS * COLUMNS
MESH = Mesh(ROWS, COLUMNS)


def cuts_of(shape: Shape, factors: list[tuple[int, ...]], cores: int = CORES) -> Cuts:
    rank = len(shape)
    space = Space(shape, 1, (True,) * rank + (False,), tuple(range(rank + 1)))
    return Cuts(space, np.array([(*f, 1) for f in factors]), cores)


def grown(region: Region, shape: Shape, halo: int) -> Region:
    """Boxes with a halo, as a convolution's window reads them; empty boxes stay empty."""
    empty = (region.volume == 0)[..., None]
    wider = Region(region.low - halo, region.high + halo).clip(shape)
    return Region(np.where(empty, 0, wider.low), np.where(empty, 0, wider.high))


def elements(region: Region, core: int) -> set[tuple[int, ...]]:
    spans = zip(region.low[0, core].tolist(), region.high[0, core].tolist(), strict=True)
    return set(product(*(range(low, high) for low, high in spans)))


def simulate(held: Region, needed: Region, shape: Shape, bits: int) -> Loads:
    """Every element on its own, from the core that holds it to all that need it."""
    loads = Loads()
    owner = {e: core for core in range(CORES) for e in elements(held, core)}
    wants = [elements(needed, core) for core in range(CORES)]
    for element in product(*map(range, shape)):
        targets: list[Core] = [divmod(c, COLUMNS) for c in range(CORES) if element in wants[c]]
        loads.send(divmod(owner[element], COLUMNS), targets, bits / 8)
    return loads


Case = tuple[Shape, Region, Region]


@st.composite
def transfers(draw: st.DrawFn) -> Case:
    """A tensor under one cut, needed under another with a halo, or in whole dimensions."""
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    space = Space(shape, 1, (True,) * len(shape) + (False,), tuple(range(len(shape) + 1)))
    options = enumerate_cuts(space, CORES)
    picks = [draw(st.integers(0, len(options) - 1)) for _ in range(2)]
    held, needed = (Cuts(space, options[p : p + 1], CORES).held for p in picks)
    needed = grown(needed, shape, draw(st.integers(0, 2)))
    for axis in range(len(shape)):
        if draw(st.integers(0, 3)) == 0:
            used = needed.volume > 0
            needed.low[..., axis] = 0
            needed.high[..., axis] = np.where(used, shape[axis], 0)
    return shape, held, needed


@settings(deadline=None, max_examples=80)
@given(transfers(), st.sampled_from([2, 4, 8]))
def test_route_counts_every_link(case: Case, bits: int) -> None:
    shape, held, needed = case
    found = route(held, needed, bits, MESH)
    loads = simulate(held, needed, shape, bits)
    assert found.link_bytes == pytest.approx(loads.busiest)
    assert found.received_bytes == pytest.approx(max(loads.received.values(), default=0))
    assert found.sent_bytes == pytest.approx(max(loads.sent.values(), default=0))
    assert found.total_received_bytes == pytest.approx(sum(loads.received.values()))
    assert found.total_sent_bytes == pytest.approx(sum(loads.sent.values()))
    assert found.bit_hops == pytest.approx(loads.bit_hops)


@settings(deadline=None, max_examples=100)
@given(transfers())
def test_arrivals_count_missing_elements(case: Case) -> None:
    _, held, needed = case
    missing = [len(elements(needed, c) - elements(held, c)) for c in range(CORES)]
    assert arrivals(held, needed).tolist() == [[max(missing)]]


@settings(deadline=None, max_examples=100)
@given(transfers(), st.sampled_from([2, 4, 8]))
def test_arrivals_are_a_lower_bound(case: Case, bits: int) -> None:
    """No transfer takes less than its busiest receiving port."""
    _, held, needed = case
    least = float(arrivals(held, needed)[0, 0]) * bits / 8
    assert least <= route(held, needed, bits, MESH).link_bytes + 1e-9


def test_arrivals_for_all_pairs_of_candidates() -> None:
    """[candidates of source, of reader], each as if alone."""
    shape = (6, 8)
    sources = cuts_of(shape, [(1, 1), (2, 4), (6, 2)])
    readers = cuts_of(shape, [(4, 1), (1, 8)])
    table = arrivals(sources.held, readers.output)
    assert table.shape == (3, 2)
    for i, j in product(range(3), range(2)):
        alone = arrivals(sources.pick(i).held, readers.pick(j).output)
        assert table[i, j] == alone[0, 0]


def test_the_same_cut_moves_nothing() -> None:
    cuts = cuts_of((8, 8), [(4, 4)])
    found = route(cuts.held, cuts.output, 8, MESH)
    assert found == Traffic(0, 0, 0, 0, 0, 0)


def test_a_transposed_cut_by_hand() -> None:
    """4 x 4 values, a row per core before, a column per core after, on the first mesh row.

    Core i holds row i and needs column i: it gets 3 values and gives 3, one to each other core.
    The middle link carries 2 x 2 = 4 values each way. Hops: distances 1, 2, 3 occur 6, 4, 2 times.
    """
    rows, columns = cuts_of((4, 4), [(4, 1)]), cuts_of((4, 4), [(1, 4)])
    found = route(rows.held, columns.output, 8, MESH)
    assert found.received_bytes == found.sent_bytes == 3
    assert found.total_received_bytes == found.total_sent_bytes == 12
    assert found.link_bytes == 4
    assert found.bit_hops == 8 * (6 * 1 + 4 * 2 + 2 * 3)


def test_a_broadcast_by_hand() -> None:
    """One core holds 8 B that all 16 need: each link of the tree carries them once, 15 links.

    The core reads and sends them once, whatever the number of those who receive them.
    """
    one, everyone = cuts_of((8,), [(1,)]), Region(np.zeros((1, 16, 1), int), np.full((1, 16, 1), 8))
    found = route(one.held, everyone, 8, MESH)
    assert found.link_bytes == found.received_bytes == 8
    assert found.sent_bytes == found.total_sent_bytes == 8
    assert found.total_received_bytes == 15 * 8
    assert found.bit_hops == 15 * 8 * 8


def test_halos_by_hand() -> None:
    """16 rows of 10 values over 16 cores, a window of 3: every core gets the rows beside its own.

    A row leaves its core once, for both neighbours. Between neighbours in a mesh row: 1 link, 12
    pairs, both ways. From the end of a mesh row to the start of the next: 4 links, 3 pairs, both
    ways, of which the first is shared with the neighbour in the row: 24 + 24 - 6 = 42 links.
    """
    cuts = cuts_of((16, 10), [(16, 1)])
    found = route(cuts.held, grown(cuts.output, (16, 10), 1), 8, MESH)
    assert found.received_bytes == 20
    assert found.total_received_bytes == 2 * 15 * 10
    assert found.total_sent_bytes == 16 * 10
    assert found.bit_hops == 8 * 10 * 42


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 6), (6, 1)])
def test_arrays_of_one_row_or_column(rows: int, columns: int) -> None:
    """Gathering 6 values in the first core: from distance 0 to 5 along the line."""
    cores = rows * columns
    source, reader = cuts_of((6,), [(cores,)], cores), cuts_of((6,), [(1,)], cores)
    found = route(source.held, reader.output, 8, Mesh(rows, columns))
    assert found.received_bytes == found.link_bytes == 6 - 6 // cores
    assert found.bit_hops == 8 * sum(range(cores))


@settings(deadline=None, max_examples=50)
@given(transfers())
def test_nothing_comes_from_afar_to_rows_that_hold_all_they_need(case: Case) -> None:
    """The estimate is 0 when rows read what they hold, and never negative."""
    _, held, needed = case
    assert arrivals_from_afar(held, needed, MESH)[0, 0] >= 0
    assert arrivals_from_afar(held, held, MESH)[0, 0] == 0


def test_from_afar_by_hand() -> None:
    """All 16 cores need all 32 values, and each row holds 8: 24 come along the columns, x 4 / 6."""
    cuts = cuts_of((32,), [(16,)])
    everything = Region(np.zeros((1, 16, 1), int), np.full((1, 16, 1), 32))
    assert arrivals_from_afar(cuts.held, everything, MESH).tolist() == [[24 * 4 / 6]]


def test_from_the_framebuffer_by_hand() -> None:
    """A row per core, 10 values of 4 bits: 5 B each, 20 B through the first link of a mesh row.

    Column c is c + 1 links away: 1 + 2 + 3 + 4 = 10 links for each of 4 rows.
    """
    cuts = cuts_of((16, 10), [(16, 1)])
    (found,) = from_framebuffer(cuts.output, 4, MESH, 1 / ROWS)
    assert found.received_bytes == 5
    assert found.link_bytes == 20
    assert found.total_received_bytes == 80
    assert found.sent_bytes == 0  # no core sends it
    assert found.total_sent_bytes == 80  # the framebuffer does
    assert found.bit_hops == 4 * 10 * 5 * 8


def test_the_framebuffer_sends_a_row_what_it_shares_once() -> None:
    """All 16 cores need the same 12 B: once into each of 4 rows, past 4 links; received by all."""
    everything = Region(np.zeros((1, 16, 1), int), np.full((1, 16, 1), 12))
    (found,) = from_framebuffer(everything, 8, MESH, 1 / ROWS)
    assert found.link_bytes == found.received_bytes == 12
    assert found.total_sent_bytes == 4 * 12
    assert found.total_received_bytes == 16 * 12
    assert found.bit_hops == 4 * 12 * 4 * 8


def test_a_narrow_framebuffer_is_the_busiest_link() -> None:
    """It delivers as much as one link: 80 B together take as long as 80 B over a row's link."""
    cuts = cuts_of((16, 10), [(16, 1)])
    (found,) = from_framebuffer(cuts.output, 4, MESH, width_ratio=1.0)
    (wide,) = from_framebuffer(cuts.output, 4, MESH, width_ratio=1 / ROWS)
    assert found.link_bytes == 80
    assert wide.link_bytes == 20


def test_from_the_framebuffer_for_many_candidates() -> None:
    cuts = cuts_of((16, 10), [(1, 1), (16, 1), (4, 2)])
    together = from_framebuffer(cuts.output, 8, MESH, 1 / ROWS)
    for i, traffic in enumerate(together):
        assert [traffic] == from_framebuffer(cuts.pick(i).output, 8, MESH, 1 / ROWS)
