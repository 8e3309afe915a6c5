"""Einsum as transposes, sums, reshapes and one matrix product for each pair of operands.

Where an operand already has the order of its product, it is used as it is: weights stay weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from string import ascii_letters

from onnx import NodeProto

from zapdeploy.simplify.registry import expands
from zapdeploy.simplify.walking import Place, Writer


@dataclass(frozen=True)
class _Term:
    """A tensor and the letter of each of its axes."""

    name: str
    letters: str


@expands("Einsum")
def einsum(place: Place) -> Iterable[NodeProto] | None:
    """Operands are combined from left to right; letters that nothing later needs are summed over.

    Raises ModelError for an equation that does not suit its operands, or that takes a diagonal.
    """
    names = [place.input(index) for index in range(len(place.node.input))]
    shapes = [tuple(place.length(n, axis) for axis in range(len(place.shape(n)))) for n in names]
    equation = place.attributes["equation"]
    terms, result = _letters(place, equation, [len(shape) for shape in shapes])
    lengths: dict[str, int] = {}
    for text, shape in zip(terms, shapes, strict=True):
        for letter, length in zip(text, shape, strict=True):
            if lengths.setdefault(letter, length) != length:
                raise place.error(
                    f"'{letter}' must have one length, not {lengths[letter]} and {length}"
                )
    out = place.writer()
    found, *rest = [_Term(name, term) for name, term in zip(names, terms, strict=True)]
    for index, term in enumerate(rest):
        later = set(result).union(*(other.letters for other in rest[index + 1 :]))
        found = _product(out, found, term, later, lengths)
    _ordered(out, _summed(out, found, set(result)), result, place.output(0))
    return out.nodes


def _letters(place: Place, equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """The letters of each operand's axes and of the result's, an ellipsis written out."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise place.error(
            f"equation '{equation}' must have {len(ranks)} operands, not {len(terms)}"
        )
    free = [letter for letter in ascii_letters if letter not in equation]
    most = max(rank - len(t.replace("...", "")) for t, rank in zip(terms, ranks, strict=True))
    dots = "".join(free[: max(most, 0)])
    written = []
    for term, rank in zip(terms, ranks, strict=True):
        count = rank - len(term.replace("...", ""))
        written.append(term.replace("...", dots[len(dots) - count :] if count > 0 else ""))
        if len(written[-1]) != rank:
            raise place.error(f"equation '{equation}' must suit operands of ranks {list(ranks)}")
        if len(set(written[-1])) < rank:
            raise place.error(f"equation '{equation}' must take no diagonal of an operand")
    every = "".join(written)
    alone = "".join(sorted(c for c in set(every) if every.count(c) == 1 and c not in dots))
    result = right.replace("...", dots) if arrow else dots + alone
    return written, result


def _product(out: Writer, a: _Term, b: _Term, later: set[str], lengths: dict[str, int]) -> _Term:
    """One matrix product: batch letters first, then those of a, then those of b."""
    a = _summed(out, a, later | set(b.letters))
    b = _summed(out, b, later | set(a.letters))
    both = [c for c in a.letters if c in b.letters]
    batch = "".join(c for c in both if c in later)
    summed = "".join(c for c in both if c not in later)
    rows = "".join(c for c in a.letters if c not in both)
    columns = "".join(c for c in b.letters if c not in both)
    if not batch and len(summed) == 1 and len(columns) <= 1:
        left = _ordered(out, a, rows + summed)
        right = _ordered(out, b, summed + columns)
        return _Term(out.node("MatMul", left, right), rows + columns)
    sizes = [[prod(lengths[c] for c in group)] for group in (rows, summed, columns)]
    outer = [lengths[c] for c in batch]
    left = _shaped(out, a, batch + rows + summed, [*outer, *sizes[0], *sizes[1]], lengths)
    right = _shaped(out, b, batch + summed + columns, [*outer, *sizes[1], *sizes[2]], lengths)
    made, letters = out.node("MatMul", left, right), batch + rows + columns
    return _Term(out.reshape(made, [lengths[c] for c in letters]), letters)


def _shaped(
    out: Writer, term: _Term, letters: str, shape: list[int], lengths: dict[str, int]
) -> str:
    ordered = _ordered(out, term, letters)
    return ordered if [lengths[c] for c in letters] == shape else out.reshape(ordered, shape)


def _summed(out: Writer, term: _Term, kept: set[str]) -> _Term:
    """Without the letters that nothing needs."""
    axes = [axis for axis, letter in enumerate(term.letters) if letter not in kept]
    if not axes:
        return term
    name = out.node("ReduceSum", term.name, out.constant("axes", axes), keepdims=0)
    return _Term(name, "".join(c for c in term.letters if c in kept))


def _ordered(out: Writer, term: _Term, letters: str, output: str = "") -> str:
    """The tensor with its axes in this order, under a name where one is given."""
    if letters == term.letters:
        return out.node("Identity", term.name, output=output) if output else term.name
    perm = [term.letters.index(letter) for letter in letters]
    return out.node("Transpose", term.name, output=output, perm=perm)
