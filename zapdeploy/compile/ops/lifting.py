"""Calls over all cores at once: every tensor has a further first axis, that of the cores."""

from __future__ import annotations

from collections.abc import Mapping

from zapdeploy.compile.graph import Array, Attribute, Call

CORES = "cores"  # attribute of a lifted node whose inputs differ in rank


def behind(axis: int) -> int:
    """The axis under which a lifted tensor has what was along `axis`."""
    return axis + 1 if axis >= 0 else axis


def lifted(call: Call, *names: str) -> Mapping[str, Attribute]:
    """The attributes with each axis, or tuple of axes, among `names` behind that of the cores."""
    moved: dict[str, Attribute] = {}
    for name in names:
        if isinstance(call.node.attributes[name], tuple):
            moved[name] = tuple(map(behind, call.ints(name)))
        else:
            moved[name] = behind(call.int(name))
    return {**call.node.attributes, **moved}


def aligned(call: Call, array: Array, rank: int) -> Array:
    """An array that broadcasts against one of `rank` dimensions.

    In a lifted call its axes but that of the cores move to the end, as NumPy's broadcasting has it.
    """
    if CORES not in call.node.attributes or array.ndim == rank:
        return array
    return array.reshape(array.shape[0], *(1,) * (rank - array.ndim), *array.shape[1:])
