"""Trees over the mesh, and links reserved without overlap."""

from __future__ import annotations

import numpy as np
import pytest

from tests.compile.noc.meshes import multicast_tree
from zapdeploy.compile.noc.mesh import (
    RECEIVE,
    SEND,
    Mesh,
    receive_port,
    receiver,
    send_port,
    trees,
)
from zapdeploy.compile.noc.messages import Messages
from zapdeploy.compile.regions import Region
from zapdeploy.hardware_targets import load_target
from zapdeploy.sim.schedule.link_reservation import (
    busy_cycles,
    link_cycles,
    next_gap,
    no_reservations,
    reserve,
    send,
    without_room,
)

MESH = Mesh(3, 5, 2)


def messages(senders: list[int], receivers: list[list[int]], rows_first: bool = True) -> Messages:
    boxes = Region(np.zeros((len(senders), 1), np.int64), np.ones((len(senders), 1), np.int64))
    wanted = np.zeros((len(senders), MESH.cores), bool)
    for row, cores in zip(wanted, receivers, strict=True):
        row[cores] = True
    return Messages(boxes, np.array(senders), wanted, 8, rows_first)


def as_pairs(link: int) -> tuple[tuple[int, int], tuple[int, int]]:
    kind, core = divmod(link, MESH.cores)
    row, column = divmod(core, MESH.columns)
    step = ((0, 1), (0, -1), (1, 0), (-1, 0))[kind]
    return (row, column), (row + step[0], column + step[1])


@pytest.mark.parametrize("rows_first", [True, False])
def test_trees_are_those_of_the_slow_mesh(rows_first: bool) -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        sender = int(random.integers(MESH.cores))
        others = [k for k in range(MESH.cores) if k != sender and random.random() < 0.3]
        found = trees(MESH, messages([sender], [others], rows_first))
        inner = found.links < SEND * MESH.cores
        source = divmod(sender, MESH.columns)
        expected = multicast_tree(
            source, [divmod(k, MESH.columns) for k in others], rows_first=rows_first
        )
        assert sorted(map(as_pairs, found.links[inner].tolist())) == sorted(expected)
        for link, hops in zip(found.links[inner].tolist(), found.hops[inner].tolist(), strict=True):
            here = as_pairs(link)[0]
            assert hops == abs(here[0] - source[0]) + abs(here[1] - source[1])
        one = messages([sender], [others], rows_first)
        assert trees(MESH, one).network_links(MESH).tolist() == [len(expected)]
        ports = set((found.links[~inner] - RECEIVE * MESH.cores).tolist())
        assert ports == {*others, sender - MESH.cores}


def test_many_trees_are_those_of_each_message() -> None:
    """Their links outgrow the room that is made for them at first, several times."""
    everyone = list(range(MESH.cores))
    senders = everyone * 12
    receivers = [[k for k in everyone if k != sender] for sender in senders]
    found = trees(MESH, messages(senders, receivers))
    assert found.first[-1] == len(found.links) > 4 * (len(senders) * 2 + 16)
    for m, (sender, others) in enumerate(zip(senders, receivers, strict=True)):
        alone = trees(MESH, messages([sender], [others]))
        part = slice(found.first[m], found.first[m + 1])
        assert np.array_equal(found.links[part], alone.links)
        assert np.array_equal(found.hops[part], alone.hops)


def test_places_and_distances() -> None:
    """Core by core, as one would walk."""
    everyone = np.arange(MESH.cores)
    where = [divmod(k, MESH.columns) for k in range(MESH.cores)]
    row, column = MESH.position(everyone)
    assert list(zip(row.tolist(), column.tolist(), strict=True)) == where
    assert np.array_equal(MESH.core(row, column), everyone)
    assert MESH.grid(everyone)[1, 3] == MESH.core(1, 3)
    walks = [[abs(a - c) + abs(b - d) for c, d in where] for a, b in where]
    assert np.array_equal(MESH.distance(everyone[:, None], everyone[None]), walks)
    assert MESH.diameter == np.max(walks)
    following = np.diag(np.array(walks), 1)
    assert np.array_equal(MESH.hops_to_next(everyone[:-1]), following)
    for first in range(MESH.cores):
        for length in range(1, MESH.cores - first + 1):
            hops = following[first : first + length - 1].sum()
            assert MESH.chain_hops(np.array(first), np.array(length)) == hops
    ports = MESH.ports(np.arange(MESH.rows))
    assert MESH.entries(ports).tolist() == [0, 5, 10]
    assert MESH.distance(ports, np.array([2, 2, 2])).tolist() == [3, 4, 5]
    outside = [column + 1 for column in range(MESH.columns)]
    assert (MESH.mean_hops_outside, MESH.hops_along_row) == (np.mean(outside), 4)


def test_links_leave_cores_and_ports_do_not() -> None:
    links = np.arange(MESH.links)
    names = [MESH.name(int(link)) for link in links]
    assert MESH.is_inner(links).tolist() == ["port" not in name for name in names]
    for direction, grid in MESH.by_direction(links).items():
        assert MESH.name(int(grid[2, 1])) == f"the {direction} link of core (2, 1)"
    assert MESH.name(send_port(MESH.cores, 7)) == "the send port of core (1, 2)"
    assert MESH.name(receive_port(MESH.cores, 7)) == "the receive port of core (1, 2)"
    found = [receiver(MESH.cores, int(link)) for link in links]
    assert [k for k in found if k >= 0] == list(range(MESH.cores))
    assert found[receive_port(MESH.cores, 7)] == 7


def test_a_targets_mesh() -> None:
    target = load_target("northpole-sim")
    hop = int(np.ceil(target.networks.model.hop_latency.value))
    assert Mesh.of(target) == Mesh(16, 16, 1)
    assert Mesh.of(target, "model") == Mesh(16, 16, hop)


def test_from_the_framebuffer() -> None:
    """Into row 1 and along it; the first core is one hop away."""
    found = trees(MESH, messages([-2], [[5, 7]]))
    by_name = dict(zip(map(MESH.name, found.links.tolist()), found.hops.tolist(), strict=True))
    assert by_name == {
        "the framebuffer's link into row 1": 0,
        "the receive port of core (1, 0)": 1,
        "the east link of core (1, 0)": 1,
        "the east link of core (1, 1)": 2,
        "the receive port of core (1, 2)": 3,
    }
    assert found.network_links(MESH).tolist() == [3]


def test_bookings_fill_gaps_and_never_overlap() -> None:
    """Against a table of cycles."""
    random = np.random.default_rng(1)
    reservations, taken = no_reservations(np.array([0, 80])), np.zeros(2000, bool)
    for _ in range(80):
        start, cycles = int(random.integers(500)), int(random.integers(1, 9))
        found = next_gap(reservations, 1, start, cycles)
        free = (t for t in range(start, 2000) if not taken[t : t + cycles].any())
        assert found == next(free)
        reserve(reservations, 1, found, cycles)
        taken[found : found + cycles] = True
        low, high = sorted(random.integers(0, 700, 2).tolist())
        assert busy_cycles(reservations, 1, low, high) == taken[low:high].sum()
    assert link_cycles(without_room(reservations)).tolist() == [0, taken.sum()]


def test_a_tree_waits_until_all_its_links_are_free() -> None:
    """Two messages that share one link, entered 2 x 2 cycles after the start by either."""
    found = trees(MESH, messages([0, 1], [[3], [3]]))
    reservations = no_reservations(found.uses(MESH.links))
    starts = [
        send(reservations, found.links, found.hops, low, high, MESH.hop_latency, 7, 100)
        for low, high in zip(found.first[:-1], found.first[1:], strict=True)
    ]
    # The second one's link out of core 1 is busy from 102 to 109 with the first one's message.
    assert starts == [100, 109]
