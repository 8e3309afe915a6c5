"""Edges made sound: known neurons, each pair once, no self loops, finite counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.connectomes.options import TIDY, EdgeOptions
from zapdeploy.errors import DataError

Signs = NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class RawEdges:
    """As a file has them: post and pre by identity, synapses float64, and signs of the edges, else
    of the table's neurons, where either is known."""

    post: NDArray[Any]
    pre: NDArray[Any]
    synapses: NDArray[np.float64]
    signs: Signs | None = None
    neuron_signs: Signs | None = None


@dataclass(frozen=True, eq=False)
class CleanEdges:
    """post, pre, synapses and signs, sorted by (post, pre), and what was done in words."""

    arrays: tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]
    notes: tuple[str, ...]


def clean(raw: RawEdges, ids: NDArray[Any], where: str, options: EdgeOptions) -> CleanEdges:
    """Raise DataError for what makes no sense, or, where asked to tidy, put it right."""
    tidy = options.edges == TIDY
    post, pre = _places(raw.post, ids), _places(raw.pre, ids)
    kept, notes = _sensible(raw, post, pre, where, tidy)
    rows = np.flatnonzero(kept)
    rows = rows[np.argsort(post[rows] * ids.size + pre[rows], kind="stable")]
    post, pre, signs = post[rows], pre[rows], _edge_signs(raw, pre)[rows]
    fresh = np.ones(rows.size, bool)
    fresh[1:] = (post[1:] != post[:-1]) | (pre[1:] != pre[:-1])
    synapses = raw.synapses[rows]
    if not fresh.all():
        first = int((~fresh).argmax())
        pair = f"'{ids[pre[first]]}' to '{ids[post[first]]}'"
        said = f"edges must be given once, not {pair} again"
        _refuse(tidy, said, int(rows[first]), ~fresh, where)
        notes.append(f"{(~fresh).sum():,} repeated edges added to the first")
        synapses = np.add.reduceat(synapses, np.flatnonzero(fresh))
    large = synapses >= options.least_synapses
    if not large.all():
        least = f"{options.least_synapses:g}"
        notes.append(f"{(~large).sum():,} edges of fewer than {least} synapses left out")
    if not large.any():
        raise DataError(f"connectome must have edges, not none ({where})")
    chosen = np.flatnonzero(fresh)[large]
    arrays = (
        post[chosen].astype(np.int32),
        pre[chosen].astype(np.int32),
        synapses[large].astype(np.float32),
        signs[chosen],
    )
    return CleanEdges(arrays, tuple(notes))


def _sensible(
    raw: RawEdges, post: NDArray[np.int64], pre: NDArray[np.int64], where: str, tidy: bool
) -> tuple[NDArray[np.bool_], list[str]]:
    """Which edges to keep, and what is said of the others."""
    notes = []
    unknown = (post < 0) | (pre < 0)
    if unknown.any():
        at = int(unknown.argmax())
        who = raw.post[at] if post[at] < 0 else raw.pre[at]
        _refuse(tidy, f"edges must join neurons of the table, not '{who}'", at, unknown, where)
        notes.append(f"{unknown.sum():,} edges of neurons that the table lacks left out")
    loops = ~unknown & (post == pre)
    if loops.any():
        at = int(loops.argmax())
        said = f"edges must join two neurons, not '{raw.pre[at]}' with itself"
        _refuse(tidy, said, at, loops, where)
        notes.append(f"{loops.sum():,} self loops left out")
    kept = ~(unknown | loops)
    wrong = kept & ~(raw.synapses > 0)
    if wrong.any():
        at = int(wrong.argmax())
        said = f"synapses must be positive, not {raw.synapses[at]:g}"
        raise DataError(f"{said} ({_row(at, wrong, where)}); give inhibition in a column 'sign'")
    return kept, notes


def _places(named: NDArray[Any], ids: NDArray[Any]) -> NDArray[np.int64]:
    """Where each name is among the identities; -1: nowhere."""
    order = np.argsort(ids)
    ranked = ids[order]
    found = np.minimum(np.searchsorted(ranked, named), ids.size - 1)
    return np.where(ranked[found] == named, order[found], -1)


def _edge_signs(raw: RawEdges, pre: NDArray[np.int64]) -> Signs:
    if raw.signs is not None:
        return raw.signs
    if raw.neuron_signs is not None:
        return raw.neuron_signs[np.maximum(pre, 0)]
    return np.zeros(pre.size, np.int8)


def _refuse(tidy: bool, said: str, at: int, wrong: NDArray[np.bool_], where: str) -> None:
    if not tidy:
        raise DataError(
            f"{said} ({_row(at, wrong, where)}); repair the file, or put such edges right with "
            "--edges tidy"
        )


def _row(at: int, wrong: NDArray[np.bool_], where: str) -> str:
    return f"row {at + 1} of the data, {int(wrong.sum()):,} in all, {where}"
