"""Runs one sigma-delta network in Lava's fixed-point simulation of Loihi 2.

This file runs in an interpreter of its own (lava-nc needs Python 3.10) and imports nothing of
zapdeploy. Its interface is a folder:

    job.json     protocol, steps, populations, connections (see `network.py`, which writes it)
    arrays.npz   weights and parameters, named in job.json
    spikes{i}.npy  written: what population i sent, int32 [steps, *shape]
    result.json  written last: protocol, versions, seconds; or {"error": one line}

Usage: python worker.py FOLDER
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

PROTOCOL = 1
SIGNIFICANT_BITS = 24  # of a product before it is shifted, as in float32
# Of a neuron: arrays that broadcast against its shape, and plain numbers.
PARAMETERS = ("bias", "multiplier", "second_bias", "second_multiplier", "offset")
SCALARS = ("shift", "zero", "low", "high", "rounds_first")


def main(folder: Path) -> int:
    """Run the network that the folder describes, and write what came of it there."""
    try:
        result = _run(folder)
    except Exception as error:  # whatever Lava raises becomes one line for the caller
        text = " ".join(str(error).split()) or "no message"
        result = {"protocol": PROTOCOL, "error": f"{type(error).__name__}: {text}"}
    temporary = folder / "result.json.part"
    temporary.write_text(json.dumps(result), encoding="utf-8")
    os.replace(temporary, folder / "result.json")
    return 0 if "error" not in result else 1


def _run(folder: Path) -> dict[str, Any]:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    if job["protocol"] != PROTOCOL:
        raise ValueError(f"protocol must be {PROTOCOL}, not {job['protocol']}")
    with np.load(folder / "arrays.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    started = time.perf_counter()
    _simulate(job, arrays, folder)
    seconds = time.perf_counter() - started
    return {"protocol": PROTOCOL, "versions": _versions(), "seconds": seconds}


def _versions() -> dict[str, str]:
    from importlib import metadata

    found = {name: metadata.version(name) for name in ("lava-nc", "numpy")}
    return {"python": ".".join(map(str, sys.version_info[:3])), **found}


def _simulate(job: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
    """Run all steps; recorders write what is sent as it is sent."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg

    steps = int(job["steps"])
    neurons = {}
    for index, population in enumerate(job["populations"]):
        neuron = _population(population, arrays)
        path = str(folder / f"spikes{index}.npy")
        recorder = _classes()["Recorder"](tuple(population["shape"]), steps, path)
        neuron.s_out.connect(recorder.a_in)
        neurons[population["name"]] = neuron
    for connection in job["connections"]:
        _connect(connection, neurons, arrays)
    last = neurons[job["populations"][-1]["name"]]
    try:
        last.run(condition=RunSteps(num_steps=steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    finally:
        last.stop()


def _population(population: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    """An encoder of the input stream, or neurons."""
    shape, threshold = tuple(population["shape"]), int(population["threshold"])
    if population["kind"] == "input":
        from lava.proc.io.source import RingBuffer as Source
        from lava.proc.sdn.process import Delta

        source = Source(data=np.moveaxis(arrays[population["stream"]], 0, -1).astype(np.int32))
        encoder = Delta(shape=shape, vth=threshold)
        source.s_out.connect(encoder.a_in)
        return encoder
    scalars = {name: int(population[name]) for name in SCALARS}
    parameters = {name: arrays[population[name]] for name in PARAMETERS}
    return _classes()["QuantizedSigmaDelta"](shape, {"threshold": threshold, **scalars}, parameters)


def _connect(
    connection: dict[str, Any], neurons: dict[str, Any], arrays: dict[str, np.ndarray]
) -> None:
    source, target = neurons[connection["source"]], neurons[connection["target"]]
    port = target.b_in if connection["second"] else target.a_in
    synapses = _synapses(connection, arrays[connection["weights"]], source.s_out.shape)
    source.s_out.reshape(synapses.s_in.shape).connect(synapses.s_in)
    synapses.a_out.reshape(port.shape).connect(port)


def _synapses(connection: dict[str, Any], weights: np.ndarray, shape: tuple[int, ...]) -> Any:
    """Weights times what arrives, a step later.

    Lava's Dense drops the lowest bit of weights of both signs, as the chip does: they are given
    doubled, with exponent -1.
    """
    if connection["kind"] == "dense":
        from lava.proc.dense.process import Dense
        from lava.utils.weightutils import SignMode

        return Dense(
            weights=2 * weights.astype(np.int32),
            weight_exp=-1,
            num_weight_bits=8,
            num_message_bits=24,
            sign_mode=SignMode.MIXED,
        )
    from lava.proc.conv.process import Conv

    return Conv(
        weight=weights.astype(np.int32),
        input_shape=shape,
        padding=tuple(connection["padding"]),
        stride=tuple(connection["strides"]),
        dilation=tuple(connection["dilations"]),
        groups=int(connection["groups"]),
        num_message_bits=24,
    )


def _classes() -> dict[str, Any]:
    """Our processes and their models, defined once, where Lava is there."""
    from lava.magma.core.decorator import implements, requires, tag
    from lava.magma.core.model.py.model import PyLoihiProcessModel
    from lava.magma.core.model.py.ports import PyInPort, PyOutPort
    from lava.magma.core.model.py.type import LavaPyType
    from lava.magma.core.process.ports.ports import InPort, OutPort
    from lava.magma.core.process.process import AbstractProcess
    from lava.magma.core.process.variable import Var
    from lava.magma.core.resources import CPU
    from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

    if "Recorder" in globals():
        return globals()

    class QuantizedSigmaDelta(AbstractProcess):  # type: ignore[misc]
        """Two sums of what arrives, requantized; what changed since the last message is sent."""

        def __init__(self, shape: Any, scalars: dict[str, int], parameters: dict[str, Any]) -> None:
            super().__init__(shape=shape)
            self.a_in, self.b_in = InPort(shape=shape), InPort(shape=shape)
            self.s_out = OutPort(shape=shape)
            self.sigma, self.second = Var(shape=shape, init=0), Var(shape=shape, init=0)
            self.sent = Var(shape=shape, init=0)
            for name, value in parameters.items():
                full = np.broadcast_to(value, shape).astype(np.int64)
                setattr(self, name, Var(shape=shape, init=full))
            for name, value in scalars.items():
                setattr(self, name, Var(shape=(1,), init=value))

    @implements(proc=QuantizedSigmaDelta, protocol=LoihiProtocol)
    @requires(CPU)
    @tag("fixed_pt")
    class QuantizedSigmaDeltaModel(PyLoihiProcessModel):  # type: ignore[misc]
        a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
        b_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
        s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
        sigma: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
        second: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
        sent: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
        bias: np.ndarray = LavaPyType(np.ndarray, np.int64)
        multiplier: np.ndarray = LavaPyType(np.ndarray, np.int64)
        second_bias: np.ndarray = LavaPyType(np.ndarray, np.int64)
        second_multiplier: np.ndarray = LavaPyType(np.ndarray, np.int64)
        offset: np.ndarray = LavaPyType(np.ndarray, np.int64)
        threshold: np.ndarray = LavaPyType(np.ndarray, np.int32)
        shift: np.ndarray = LavaPyType(np.ndarray, np.int32)
        zero: np.ndarray = LavaPyType(np.ndarray, np.int32)
        low: np.ndarray = LavaPyType(np.ndarray, np.int32)
        high: np.ndarray = LavaPyType(np.ndarray, np.int32)
        rounds_first: np.ndarray = LavaPyType(np.ndarray, np.int32)

        def run_spk(self) -> None:
            self.sigma = self.sigma + self.a_in.recv()
            self.second = self.second + self.b_in.recv()
            inner = (self.second + self.second_bias) * self.second_multiplier + self.offset
            if self.rounds_first[0]:
                inner = _significant(inner)
            total = (self.sigma + self.bias) * self.multiplier + inner
            if self.rounds_first[0]:
                total = _significant(total)
            codes = _divide(total, int(self.shift[0])) - self.zero[0]
            delta = np.clip(codes, self.low[0], self.high[0]) - self.sent
            message = np.where(np.abs(delta) >= self.threshold[0], delta, 0)
            self.sent = (self.sent + message).astype(np.int32)
            self.s_out.send(message.astype(np.int32))

    class Recorder(AbstractProcess):  # type: ignore[misc]
        """Writes what arrives to a file: reading a variable back would go element by element."""

        def __init__(self, shape: Any, steps: int, path: str) -> None:
            super().__init__(shape=shape, steps=steps, path=path)
            self.a_in = InPort(shape=shape)

    @implements(proc=Recorder, protocol=LoihiProtocol)
    @requires(CPU)
    @tag("fixed_pt")
    class RecorderModel(PyLoihiProcessModel):  # type: ignore[misc]
        a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)

        def __init__(self, proc_params: Any) -> None:
            super().__init__(proc_params)
            shape = (proc_params["steps"], *proc_params["shape"])
            self.file = np.lib.format.open_memmap(
                proc_params["path"], mode="w+", dtype=np.int32, shape=shape
            )

        def run_spk(self) -> None:
            self.file[self.time_step - 1] = self.a_in.recv()

    # Lava finds models by looking through the module of their process.
    made = (QuantizedSigmaDelta, QuantizedSigmaDeltaModel, Recorder, RecorderModel)
    globals().update({each.__name__: each for each in made})
    return globals()


def _significant(values: np.ndarray) -> np.ndarray:
    """Rounded half to even to the bits that a float32 has. int64."""
    length = np.frexp(np.abs(values).astype(np.float64))[1]
    dropped = np.maximum(length - SIGNIFICANT_BITS, 0).astype(np.int64)
    return _shift(values, dropped) << dropped


def _divide(values: np.ndarray, shift: int) -> np.ndarray:
    """values / 2^shift, rounded half to even. int64."""
    return _shift(values << max(-shift, 0), np.full(values.shape, max(shift, 0), np.int64))


def _shift(value: np.ndarray, places: np.ndarray) -> np.ndarray:
    """value / 2^places, rounded half to even."""
    floor = value >> places
    rest = value - (floor << places)
    doubled, whole = rest * 2, np.int64(1) << places
    up = (doubled > whole) | ((doubled == whole) & (floor & 1 == 1))
    return np.where(places > 0, floor + up, value)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
