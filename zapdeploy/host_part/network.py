"""Parts of a network that the host runs in float, before and after the chip's part.

A front that makes spectra of sound, or an end that sorts boxes, does not belong on an array of
8-bit units: such nodes are left to the host (`--host NODE`), which runs them with ONNX Runtime. The
file of the chip's part holds them in its metadata, under `KEY`: whoever runs it finds them there.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from zapdeploy.arrays import Array, Arrays, named
from zapdeploy.errors import DataError, ModelError
from zapdeploy.onnxruntime_sessions import Purpose, open_session, reason, run_time_errors

if TYPE_CHECKING:
    import onnxruntime

KEY = "zapdeploy.host"
_LISTS = ("named", "nodes", "inputs", "outputs", "chip_inputs")
_INTEGERS = {"tensor(bool)": np.bool_} | {
    f"tensor({kind})": np.dtype(kind)
    for kind in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64")
}
MOST_BYTES = 2**28  # of a part: what an entry of a file may unpack to


@dataclass(frozen=True, eq=False)
class HostNetwork:
    """named: the nodes that were given to the host; nodes: all that it runs. inputs, outputs: the
    whole network's, by name; chip_inputs: those of the chip's part. frames: in one run of a part.
    front, end: ONNX files, empty where there is none.
    """

    named: tuple[str, ...]
    nodes: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    chip_inputs: tuple[str, ...]
    frames: int
    front: bytes
    end: bytes

    @cached_property
    def _sessions(self) -> tuple[Any, Any]:
        """One core each, so that their time can be compared and priced."""
        return tuple(
            open_session(part, Purpose.BASELINE, threads=1) if part else None
            for part in (self.front, self.end)
        )  # type: ignore[return-value]

    def before(self, arrays: Arrays) -> dict[str, Array]:
        """The whole network's inputs -> all that the chip's part and the end may read, by name."""
        given = {
            name: array.astype(np.float32) if array.dtype == np.float64 else array
            for name, array in named(arrays, self.inputs).items()
        }
        missing = [name for name in self.inputs if name not in given]
        other = [name for name in given if name not in self.inputs]
        if missing or other:
            listed = ", ".join(f"'{name}'" for name in self.inputs)
            what = f"leave out '{other[0]}'" if other else f"give '{missing[0]}'"
            raise DataError(f"inputs must be {listed}, those of the whole network; {what}")
        return given | _run(self._sessions[0], given)

    def after(self, known: Arrays) -> dict[str, Array]:
        """The network's outputs, of what `before` gave and the chip's own outputs."""
        found = {**known, **_run(self._sessions[1], known)}
        return {name: found[name] for name in self.outputs}

    def for_chip(self, known: Arrays) -> dict[str, Array]:
        """Of what `before` gave, the inputs of the chip's part."""
        return {name: known[name] for name in self.chip_inputs}

    def random_inputs(self, seed: int, runs: int = 1) -> dict[str, Array]:
        """Standard normal inputs for so many runs of the front; empty without one."""
        found = [_random(self._sessions[0], seed + run) for run in range(runs)]
        return {
            name: np.concatenate([each[name] for each in found]) if array.ndim else array
            for name, array in found[0].items()
        }

    def run_on_random(self) -> None:
        """Both parts once, to take their time."""
        for session in filter(None, self._sessions):
            _run(session, _random(session, 0))

    def notes(self) -> dict[str, str]:
        """What an ONNX file's metadata says of it."""
        lists = {key: getattr(self, key) for key in _LISTS}
        parts = {
            key: base64.b64encode(zlib.compress(getattr(self, key), 6)).decode("ascii")
            for key in ("front", "end")
        }
        return {KEY: json.dumps({**lists, "frames": self.frames, **parts})}


def noted_host_network(notes: Mapping[str, str], where: str) -> HostNetwork | None:
    """What a file's metadata leaves to the host; None where that is nothing. Raises ModelError."""
    if KEY not in notes:
        return None
    try:
        held = json.loads(notes[KEY])
        lists = {key: tuple(str(name) for name in held[key]) for key in _LISTS}
        return HostNetwork(
            **lists,
            frames=max(int(held["frames"]), 1),
            front=_unpacked(held["front"]),
            end=_unpacked(held["end"]),
        )
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise ModelError(
            f"metadata '{KEY}' must hold the host's parts of a network, not "
            f"{type(error).__name__}: {error} ({where}); quantize it again"
        ) from None


def _unpacked(text: str) -> bytes:
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(base64.b64decode(text, validate=True), MOST_BYTES)
    if unpacker.unconsumed_tail:
        raise ValueError(f"a part of more than {MOST_BYTES >> 20} MB")
    return content


def _run(session: onnxruntime.InferenceSession | None, known: Arrays) -> dict[str, Array]:
    """A part's outputs. Inputs of several runs are run one after the other."""
    if session is None:
        return {}
    inputs = {value.name: known[value.name] for value in session.get_inputs()}
    lengths = {v.name: v.shape[0] for v in session.get_inputs() if v.shape}
    counts = {
        len(inputs[name]) // length
        for name, length in lengths.items()
        if inputs[name].ndim and length and len(inputs[name]) % length == 0
    }
    runs = counts.pop() if len(counts) == 1 else 1
    names = [value.name for value in session.get_outputs()]
    try:
        found = [
            session.run(None, {name: _part(array, i, runs) for name, array in inputs.items()})
            for i in range(runs)
        ]
    except run_time_errors() as error:
        raise DataError(
            f"inputs must be what the host's part of the network takes: {reason(error)}"
        ) from None
    return {
        name: np.concatenate([each[i] for each in found]) if found[0][i].ndim else found[0][i]
        for i, name in enumerate(names)
    }


def _part(array: Array, index: int, runs: int) -> Array:
    if runs == 1 or not array.ndim:
        return array
    length = len(array) // runs
    return array[index * length : (index + 1) * length]


def _random(session: onnxruntime.InferenceSession | None, seed: int) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    types = {
        "tensor(float)": np.float32,
        "tensor(double)": np.float64,
        "tensor(float16)": np.float16,
    }
    return {
        v.name: random.standard_normal(v.shape).astype(types[v.type])
        if v.type in types
        else np.zeros(v.shape, _INTEGERS.get(v.type, np.int64))
        for v in (session.get_inputs() if session else ())
    }
