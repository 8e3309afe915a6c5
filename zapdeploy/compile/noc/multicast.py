"""Sending stored parameters to all the cores that use them, over a mesh, for many cuts at once.

Cores that need the same slice form a group. The slice is stored once, in equal parts over its
group, and each part is sent to the others along a tree: first along the row of its core, then along
the columns (or the other way round, whichever loads the busiest link less).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import FloatArray
from zapdeploy.compile.noc.mesh import Mesh
from zapdeploy.compile.regions import IntArray


@dataclass(frozen=True, eq=False)
class Multicast:
    """`link_bytes`: at most over the busiest link or receiving port [candidates]; `bit_hops`
    [candidates]; `stored_bytes`: what each core keeps and sends [candidates, cores];
    `rows_first`: whether parts travel along rows, then columns, or the other way round."""

    link_bytes: FloatArray
    bit_hops: FloatArray
    stored_bytes: FloatArray
    rows_first: NDArray[np.bool_]


def multicast(slices: IntArray, bytes_each: FloatArray, mesh: Mesh) -> Multicast:
    """Traffic when cores with equal `slices` [candidates, cores] share one slice (-1: none)."""
    group = numbered(slices)
    active = slices >= 0
    shape = (len(group), mesh.cores)
    members = _count(group, active, np.zeros(mesh.cores, np.int64), 1)[..., 0]
    size = np.zeros(shape)
    np.maximum.at(size, (np.arange(len(group))[:, None], group), bytes_each)
    replicas = np.maximum(np.take_along_axis(members, group, axis=1), 1)
    stored = np.where(active, bytes_each / replicas, 0.0)
    received = np.where(active, bytes_each - stored, 0.0).max(axis=1)

    row, column = mesh.position(np.arange(mesh.cores))
    in_column = _count(group, active, column, mesh.columns) > 0
    in_row = _count(group, active, row, mesh.rows) > 0
    wide, tall = in_column.sum(axis=2), in_row.sum(axis=2)
    across, down = _span(in_column), _span(in_row)
    row_first = _busiest_link(group, stored, size, row, in_row, in_column)
    column_first = _busiest_link(group, stored, size, column, in_column, in_row)
    row_hops = (size * (across + wide * down)).sum(axis=1) * 8
    column_hops = (size * (down + tall * across)).sum(axis=1) * 8
    by_row = row_first <= column_first
    links = np.where(by_row, row_first, column_first)
    return Multicast(
        link_bytes=np.maximum(links, received),
        bit_hops=np.where(by_row, row_hops, column_hops),
        stored_bytes=stored,
        rows_first=by_row,
    )


def _busiest_link(
    group: IntArray,
    stored: FloatArray,
    size: FloatArray,
    line_of: IntArray,
    in_first: NDArray[np.bool_],
    in_second: NDArray[np.bool_],
) -> FloatArray:
    """Busiest link when parts travel along the first lines, then along the second ones.

    A first line carries the parts stored on it whose group spans several second lines; a second
    line carries, once, every slice needed on it whose group spans several first lines.
    """
    spreads = np.take_along_axis(in_second.sum(axis=2) > 1, group, axis=1)
    first = np.zeros((len(group), in_first.shape[2]))
    index = np.broadcast_to(line_of, group.shape)
    np.add.at(first, (np.arange(len(group))[:, None], index), stored * spreads)
    second = ((size * (in_first.sum(axis=2) > 1))[..., None] * in_second).sum(axis=1)
    return np.asarray(np.maximum(first.max(axis=1), second.max(axis=1)), np.float64)


def numbered(slices: IntArray) -> IntArray:
    """The same grouping with numbers from 0 in each candidate [candidates, cores]."""
    order = np.argsort(slices, axis=1, kind="stable")
    ranked = np.take_along_axis(slices, order, axis=1)
    fresh = np.zeros_like(ranked)
    fresh[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    dense = np.empty_like(ranked)
    np.put_along_axis(dense, order, np.cumsum(fresh, axis=1), axis=1)
    return dense


def _count(group: IntArray, active: NDArray[np.bool_], line: IntArray, lines: int) -> IntArray:
    """Active members of each group on each line [candidates, groups, lines]."""
    candidates, cores = group.shape
    flat = (np.arange(candidates)[:, None] * cores + group) * lines + line
    counted = np.bincount(flat[active], minlength=candidates * cores * lines)
    return counted.reshape(candidates, cores, lines)


def _span(present: NDArray[np.bool_]) -> IntArray:
    """Distance from the first to the last line that is present [candidates, groups]."""
    lines = present.shape[2]
    first = np.argmax(present, axis=2)
    last = lines - 1 - np.argmax(present[..., ::-1], axis=2)
    return np.where(present.any(axis=2), last - first, 0)
