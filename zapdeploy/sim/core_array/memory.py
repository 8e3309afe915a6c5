"""The memories of all cores, in which every byte knows whose it is.

A write to a byte that another buffer still needs is an error, and so is a read of a byte that holds
another buffer's data or was never written. Errors name the layer, the core and the address.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from zapdeploy.compile.graph import Array, ElementType
from zapdeploy.compile.kernels.jit import compiled
from zapdeploy.compile.mapping.memory import Buffer
from zapdeploy.compile.regions import IntArray
from zapdeploy.errors import SimulationError
from zapdeploy.sim.core_array.packing import Cells, pack, unpack

FOREVER = np.iinfo(np.int64).max
NOTHING = 0  # the owner of a byte that was never written
Key = tuple[str, str, int]  # a buffer's name, kind and read


class Memory:
    """Cells [planes, cores, bytes], and for every byte the number of the buffer that owns it.

    `needed_until`: for each buffer the last layer that reads it, as the events have it (not the
    plan: the plan is what is checked). Only pages that are written take memory on this machine.
    """

    def __init__(
        self, cores: int, size: int, planes: int, needed_until: Mapping[Buffer, int]
    ) -> None:
        self.size = size
        self.cells = np.zeros((planes, cores, size), np.uint8)
        self._owner = np.zeros((cores, size), np.uint16)
        self._buffers: Sequence[Buffer] = tuple(needed_until)
        self._number = {key_of(b): n + 1 for n, b in enumerate(self._buffers)}
        self._until = np.array([-2, *needed_until.values()], np.int64)  # before -1, the loading

    def write(self, key: Key, cells: Cells, count: IntArray, layer: int, name: str) -> None:
        """The first count[core] bytes of `cells` [planes, cores, bytes] into a buffer."""
        number, buffer = self._find(key, count, name)
        most = int(count.max(initial=0))
        self._check_room(buffer, count, name)
        bad = claim(self._owner, buffer.address, count, number, self._until, layer)
        if bad[0] >= 0:
            until = int(self._until[self._owner[bad]])
            end = "the end" if until == FOREVER else f"layer {until}"
            raise SimulationError(
                f"core {bad[0]}, address {bad[1]} must stay {self._whose(bad)} until {end}, "
                f"not become {_title(buffer)} (layer '{name}'); compile the model again"
            )
        for plane, values in zip(self.cells, cells, strict=False):
            store(plane, buffer.address, count, values[:, :most])

    def read(self, key: Key, planes: int, count: IntArray, name: str) -> Cells:
        """The first count[core] bytes of a buffer in every core [planes, cores, most bytes]."""
        number, buffer = self._find(key, count, name)
        bad = first_foreign(self._owner, buffer.address, count, number)
        if bad[0] >= 0:
            raise SimulationError(
                f"core {bad[0]}, address {bad[1]} must hold {_title(buffer)}, not "
                f"{self._whose(bad)} (layer '{name}'); compile the model again"
            )
        most = int(count.max(initial=0))
        return self.cells[:planes, :, buffer.address : buffer.address + most]

    def write_values(
        self, key: Key, values: Array, element: ElementType, bits: int, count: IntArray,
        layer: int, name: str,
    ) -> None:  # fmt: skip
        """The first count[core] elements of values [cores, elements], packed."""
        self.write(key, pack(values, element, bits), -(-count * bits // 8), layer, name)

    def read_values(
        self, key: Key, element: ElementType, bits: int, count: IntArray, name: str
    ) -> Array:
        """Elements of a buffer [cores, at least the most of them]."""
        planes = 1 if bits < 8 else -(-8 * element.numpy.itemsize // bits)
        return unpack(self.read(key, planes, -(-count * bits // 8), name), element, bits)

    def forget(self, *kinds: str) -> None:
        """Make the bytes of all buffers of these kinds as if they had never been written."""
        for number, buffer in enumerate(self._buffers, start=1):
            if buffer.kind in kinds:
                owner = self._owner[:, buffer.address : buffer.address + buffer.size]
                owner[owner == number] = NOTHING

    def _find(self, key: Key, count: IntArray, name: str) -> tuple[int, Buffer]:
        number = self._number.get(key, NOTHING)
        if number == NOTHING and count.any():
            raise SimulationError(
                f"the memory plan must have a buffer for the {key[1]} of '{key[0]}', not none "
                f"(layer '{name}', core {int(count.argmax())}); compile the model again"
            )
        return number, self._buffers[number - 1] if number else Buffer(*key[:2], 0, 0, 0, 0)

    def _check_room(self, buffer: Buffer, count: IntArray, name: str) -> None:
        core, most = int(count.argmax()), int(count.max())
        if most > buffer.size:
            raise SimulationError(
                f"{_title(buffer)} must be at most {buffer.size} bytes, not {most} "
                f"(layer '{name}', core {core}, address {buffer.address}); compile the model again"
            )
        if buffer.address + most > self.size:
            raise SimulationError(
                f"{_title(buffer)} must end at most at address {self.size}, the end of the "
                f"memory, not {buffer.address + most} (layer '{name}', core {core}); "
                "compile the model again"
            )

    def _whose(self, place: tuple[int, int]) -> str:
        number = int(self._owner[place])
        return "never written" if number == NOTHING else _title(self._buffers[number - 1])


def key_of(buffer: Buffer) -> Key:
    """What tells one buffer from another."""
    return buffer.name, buffer.kind, buffer.read


def _title(buffer: Buffer) -> str:
    if buffer.kind in ("program", "boundary"):
        return f"the {buffer.name}"
    which = f" (read {buffer.read})" if buffer.read >= 0 else ""
    return f"the {buffer.kind} of '{buffer.name}'{which}"


@compiled
def claim(
    owner: Array, address: int, count: Array, number: int, until: Array, layer: int
) -> tuple[int, int]:
    """Make bytes [address, address + count[core]) the buffer's; the first that others need."""
    for core in range(len(count)):
        for at in range(address, address + count[core]):
            now = owner[core, at]
            if now != number and until[now] >= layer:
                return core, at
            owner[core, at] = number
    return -1, -1


@compiled
def first_foreign(owner: Array, address: int, count: Array, number: int) -> tuple[int, int]:
    """The first core and address in [address, address + count[core]) that is not the buffer's."""
    for core in range(len(count)):
        for at in range(address, address + count[core]):
            if owner[core, at] != number:
                return core, at
    return -1, -1


@compiled
def store(cells: Array, address: int, count: Array, values: Array) -> None:
    """Write each core's bytes at one address."""
    for core in range(len(count)):
        for k in range(count[core]):
            cells[core, address + k] = values[core, k]
