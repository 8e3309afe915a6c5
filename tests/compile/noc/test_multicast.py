"""Shared weights against packets sent one by one over a small mesh."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compile.noc.meshes import Core, Loads
from zapdeploy.compile.noc.mesh import Mesh
from zapdeploy.compile.noc.multicast import multicast, numbered

ROWS, COLUMNS = 4, 4
CORES = ROWS * COLUMNS
MESH = Mesh(ROWS, COLUMNS)


def simulate(slices: list[int], sizes: dict[int, float], *, rows_first: bool) -> Loads:
    """Each member of a group sends its equal part of the slice to all other members."""
    loads = Loads()
    for number in set(slices) - {-1}:
        members: list[Core] = [divmod(c, COLUMNS) for c in range(CORES) if slices[c] == number]
        for member in members:
            loads.send(member, members, sizes[number] / len(members), rows_first=rows_first)
    return loads


def run(slices: list[int], sizes: dict[int, float]) -> tuple[float, float, list[float]]:
    each = [sizes.get(number, 0.0) for number in slices]
    found = multicast(np.array([slices]), np.array([each]), MESH)
    return float(found.link_bytes[0]), float(found.bit_hops[0]), found.stored_bytes[0].tolist()


@st.composite
def groupings(draw: st.DrawFn) -> tuple[list[int], dict[int, float]]:
    """Any cores in any groups, some in none."""
    slices = draw(st.lists(st.integers(-1, 5), min_size=CORES, max_size=CORES))
    sizes = {number: float(draw(st.integers(1, 100))) for number in range(6)}
    return slices, sizes


@st.composite
def regular_groupings(draw: st.DrawFn) -> tuple[list[int], dict[int, float]]:
    """As cuts make them: cores in mixed radix over two cuts, which take turns in sharing."""
    channels = draw(st.sampled_from([1, 2, 4, 8, 16]))
    others = draw(st.sampled_from([n for n in (1, 2, 4, 8, 16) if n * channels <= CORES]))
    numbers = [core % channels if core < channels * others else -1 for core in range(CORES)]
    return numbers, dict.fromkeys(range(channels), 64.0)


@settings(deadline=None, max_examples=150)
@given(groupings())
def test_traffic_is_never_understated(case: tuple[list[int], dict[int, float]]) -> None:
    slices, sizes = case
    link, hops, _ = run(slices, sizes)
    ways = [simulate(slices, sizes, rows_first=way) for way in (True, False)]
    assert link >= min(way.busiest for way in ways) - 1e-9
    assert hops >= min(way.bit_hops for way in ways) - 1e-6


@settings(deadline=None, max_examples=60)
@given(regular_groupings())
def test_hops_of_regular_groups_are_exact(case: tuple[list[int], dict[int, float]]) -> None:
    slices, sizes = case
    link, hops, _ = run(slices, sizes)
    ways = [simulate(slices, sizes, rows_first=way) for way in (True, False)]
    assert any(hops == pytest.approx(way.bit_hops) for way in ways)
    assert link <= 2 * min(way.busiest for way in ways)


@settings(deadline=None, max_examples=150)
@given(groupings())
def test_every_slice_is_stored_once(case: tuple[list[int], dict[int, float]]) -> None:
    """In equal parts over its group; a core outside all groups stores nothing."""
    slices, sizes = case
    _, _, stored = run(slices, sizes)
    for core, number in enumerate(slices):
        share = sizes[number] / slices.count(number) if number >= 0 else 0
        assert stored[core] == pytest.approx(share)
    assert sum(stored) == pytest.approx(sum(sizes[n] for n in set(slices) - {-1}))


@settings(deadline=None, max_examples=60)
@given(groupings(), st.floats(0.5, 8))
def test_traffic_grows_with_the_slices(
    case: tuple[list[int], dict[int, float]], factor: float
) -> None:
    slices, sizes = case
    link, hops, _ = run(slices, sizes)
    scaled = run(slices, {number: factor * size for number, size in sizes.items()})
    assert scaled[0] == pytest.approx(factor * link)
    assert scaled[1] == pytest.approx(factor * hops)


def test_slices_of_one_s_own_do_not_travel() -> None:
    link, hops, stored = run(list(range(CORES)), dict.fromkeys(range(CORES), 7.0))
    assert (link, hops) == (0, 0)
    assert stored == [7.0] * CORES


def test_one_slice_for_all() -> None:
    """A tree to 16 cores has 15 links; a column's link carries nearly all 16 B at the end."""
    link, hops, stored = run([0] * CORES, {0: 16.0})
    assert hops == 15 * 16 * 8
    assert stored == [1.0] * CORES
    exact = simulate([0] * CORES, {0: 16.0}, rows_first=True)
    assert exact.busiest == 15  # what each core receives
    assert exact.busiest <= link <= 16


def test_one_slice_per_row() -> None:
    """Nothing leaves its row: 3 links for each of 4 slices of 16 B."""
    slices = [core // COLUMNS for core in range(CORES)]
    _, hops, _ = run(slices, dict.fromkeys(range(ROWS), 16.0))
    assert hops == 4 * 3 * 16 * 8


def test_one_slice_per_column() -> None:
    slices = [core % COLUMNS for core in range(CORES)]
    _, hops, _ = run(slices, dict.fromkeys(range(COLUMNS), 16.0))
    assert hops == 4 * 3 * 16 * 8


def test_candidates_are_independent() -> None:
    """Several groupings at once give what each gives alone."""
    rng = np.random.default_rng(1)
    slices = rng.integers(-1, 4, (20, CORES))
    sizes = np.where(slices >= 0, 10.0 + slices, 0.0)
    together = multicast(slices, sizes, MESH)
    for i in range(20):
        alone = multicast(slices[i : i + 1], sizes[i : i + 1], MESH)
        assert together.link_bytes[i] == alone.link_bytes[0]
        assert together.bit_hops[i] == alone.bit_hops[0]
        assert np.array_equal(together.stored_bytes[i], alone.stored_bytes[0])


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 6), (6, 1), (2, 3)])
def test_arrays_of_any_shape(rows: int, columns: int) -> None:
    """One slice for all: the tree has a link for each core but the first."""
    cores = rows * columns
    found = multicast(np.zeros((1, cores), int), np.full((1, cores), 12.0), Mesh(rows, columns))
    assert found.bit_hops[0] == (cores - 1) * 12 * 8


def test_numbers_from_zero_in_each_row() -> None:
    found = numbered(np.array([[7, 3, 7, -1], [2, 2, 2, 2]]))
    assert found.tolist() == [[2, 1, 2, 0], [0, 0, 0, 0]]
