"""Ones, toggles and zeros of bits that follow one another, counted by compiled kernels.

Whatever follows the last word is taken to be the first one again, as in a stream of such runs. So
every word has one before it, and on each wire at most twice as many bits toggle as are one, or
zero: no data toggle more than those that alternate.
"""

from __future__ import annotations

import numpy as np

from zapdeploy.compile.graph import Array
from zapdeploy.compile.kernels.jit import compiled, count_ones

WIDEST = 32  # bits of an element


def as_words(values: Array, bits: int) -> Array:
    """Elements as they lie in `bits` of memory or of a register: unsigned, nothing above the bits.

    Integers are sign-extended or cut; of a float32 the most significant bits are left.
    """
    if values.dtype.kind == "f":
        raw = values.view(f"uint{8 * values.itemsize}")
        return np.asarray(raw >> (8 * values.itemsize - bits)).astype(f"uint{bits}")
    size = max(bits, 8)
    if values.dtype.itemsize * 8 != size or values.dtype.kind == "b":
        values = values.astype(f"int{size}")
    words = values.view(f"uint{size}")
    return words if bits >= 8 else words & np.uint8((1 << bits) - 1)


@compiled
def stream_activity(
    words: Array, row: Array, first: Array, count: Array, stride: int, ones: Array, toggles: Array
) -> None:
    """Of stream s, elements words[row[s], first[s]:][:count[s]], of which those that are `stride`
    apart follow one another on the same wires."""
    for s in range(len(row)):
        r, f, n = row[s], first[s], count[s]
        found = 0
        for i in range(n):
            found += count_ones(words[r, f + i])
        ones[s] = found
        found = 0
        for i in range(n - stride):
            found += count_ones(words[r, f + i] ^ words[r, f + i + stride])
        for lane in range(min(stride, n)):
            last = lane + (n - 1 - lane) // stride * stride
            found += count_ones(words[r, f + last] ^ words[r, f + lane])
        toggles[s] = found


@compiled
def link_activity(
    words: Array, row: Array, first: Array, count: Array, stride: int,
    tree: Array, links: Array, inner: Array,
    ones: Array, toggles: Array, link_toggles: Array,
) -> None:  # fmt: skip
    """Messages, in order, over the links of their trees: links[tree[m] : tree[m + 1]].

    `ones` [messages]: of a message; `toggles` [messages]: over those of its links that are `inner`;
    `link_toggles` [links]. What was on a link before a message is the message before on that link.
    """
    wires = np.zeros((len(inner), stride), words.dtype)
    for counting in (False, True):
        for m in range(len(row)):
            r, f, n = row[m], first[m], count[m]
            within = 0
            if counting:
                for i in range(n):
                    ones[m] += count_ones(words[r, f + i])
                for i in range(n - stride):
                    within += count_ones(words[r, f + i] ^ words[r, f + i + stride])
            lanes = min(stride, n)
            for k in range(tree[m], tree[m + 1]):
                link = links[k]
                wire = wires[link]
                found = within
                for lane in range(lanes):
                    found += count_ones(wire[lane] ^ words[r, f + lane])
                for lane in range(lanes):
                    wire[lane] = words[r, f + lane + (n - 1 - lane) // stride * stride]
                if counting:
                    link_toggles[link] += found
                    if inner[link]:
                        toggles[m] += found


@compiled
def vector_activity(
    vectors: Array, inputs: int, chunk: int,
    toggles: Array, gated: Array, nonzero: Array, ones: Array,
) -> None:  # fmt: skip
    """The register of `inputs` values that vectors [cores, groups, positions, runs, values] pass.

    For every chunk of positions come the runs, of each run pieces of `inputs` values, of each piece
    the positions. Per value [cores, groups, runs, values]: bits that toggle when it arrives, those
    against the last value that was not zero (zeros are withheld: nothing moves), how often it is
    not zero; `ones` [cores, groups]: of one pass.
    """
    cores, groups, positions, runs, values = vectors.shape
    held = np.zeros(inputs, vectors.dtype)
    before = np.zeros(inputs, vectors.dtype)
    for core in range(cores):
        for group in range(groups):
            v = vectors[core, group]
            _last_values(v, inputs, chunk, before, held)
            total = 0
            for start in range(0, positions, chunk):
                stop = min(start + chunk, positions)
                for run in range(runs):
                    for first in range(0, values, inputs):
                        width = min(inputs, values - first)
                        t = toggles[core, group, run, first : first + width]
                        g = gated[core, group, run, first : first + width]
                        n = nonzero[core, group, run, first : first + width]
                        for p in range(start, stop):
                            now = v[p, run, first : first + width]
                            total += _arrive(now, before, held, t, g, n)
            ones[core, group] = total


@compiled
def _arrive(
    now: Array, before: Array, held: Array, toggles: Array, gated: Array, nonzero: Array
) -> int:
    """One input vector after another."""
    total = 0
    for i in range(len(now)):
        toggles[i] += count_ones(now[i] ^ before[i])
        before[i] = now[i]
    for i in range(len(now)):
        total += count_ones(now[i])
    for i in range(len(now)):
        kept = now[i] if now[i] else held[i]
        gated[i] += count_ones(kept ^ held[i])
        held[i] = kept
    for i in range(len(now)):
        nonzero[i] += now[i] != 0
    return total


@compiled
def _last_values(v: Array, inputs: int, chunk: int, last: Array, held: Array) -> None:
    """What each place of the register holds at the end, and the last that was not zero."""
    positions, runs, values = v.shape
    begin = (positions - 1) // chunk * chunk
    for i in range(min(inputs, values)):
        last[i] = v[positions - 1, runs - 1, (values - 1 - i) // inputs * inputs + i]
        held[i] = 0
        start = begin
        while start >= 0 and held[i] == 0:
            for run in range(runs - 1, -1, -1):
                for place in range((values - 1 - i) // inputs * inputs + i, -1, -inputs):
                    for p in range(min(start + chunk, positions) - 1, start - 1, -1):
                        if v[p, run, place]:
                            held[i] = v[p, run, place]
                            break
                    if held[i]:
                        break
                if held[i]:
                    break
            start -= chunk


@compiled
def matrix_activity(
    matrices: Array, inputs: int, columns: int,
    toggles: Array, gated: Array, nonzero: Array, ones: Array,
) -> None:  # fmt: skip
    """The register of `inputs` x `columns` weights that matrices [slices, groups, outputs, runs,
    values] pass: groups, sets of columns, runs, pieces of values, one after the other.

    As `vector_activity`, summed over outputs; `ones` [slices].
    """
    slices, groups, outputs, runs, values = matrices.shape
    for s in range(slices):
        before = np.zeros((columns, inputs), matrices.dtype)
        held = np.zeros((columns, inputs), matrices.dtype)
        for counting in (False, True):
            total = 0
            for group in range(groups):
                for begin in range(0, outputs, columns):
                    for run in range(runs):
                        for first in range(0, values, inputs):
                            for o in range(begin, min(begin + columns, outputs)):
                                for i in range(first, min(first + inputs, values)):
                                    w = matrices[s, group, o, run, i]
                                    was = before[o - begin, i - first]
                                    kept = held[o - begin, i - first]
                                    before[o - begin, i - first] = w
                                    if w:
                                        held[o - begin, i - first] = w
                                    if not counting:
                                        continue
                                    toggles[s, group, run, i] += count_ones(w ^ was)
                                    total += count_ones(w)
                                    if w:
                                        gated[s, group, run, i] += count_ones(w ^ kept)
                                        nonzero[s, group, run, i] += 1
            ones[s] = total
