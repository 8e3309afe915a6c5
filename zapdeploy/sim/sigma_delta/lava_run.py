"""Runs a network in the worker process, which has Lava, and brings back what was sent."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zapdeploy.compile.regions import IntArray
from zapdeploy.errors import WorkerError
from zapdeploy.platforms import end_group
from zapdeploy.sim.sigma_delta.environment import lava_python
from zapdeploy.sim.sigma_delta.lava_worker import run as worker
from zapdeploy.sim.sigma_delta.network import SigmaDeltaNetwork, Spikes

DEFAULT_TIMEOUT_S = 1800.0
_REPAIR = "zapdeploy doctor --set-up-lava"


@dataclass(frozen=True, eq=False)
class LavaRun:
    """What every population sent [steps, x, y, channel], and what ran it."""

    spikes: dict[str, IntArray]
    versions: dict[str, str]
    seconds: float


def run_in_lava(
    network: SigmaDeltaNetwork,
    stream: Spikes,
    *,
    python: Path | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> LavaRun:
    """The network over a stream of input codes, in Lava's fixed-point simulation of Loihi 2.

    Raises WorkerError, in one line, when the worker is missing, fails, hangs or is of another
    version.
    """
    interpreter = python or lava_python()
    with tempfile.TemporaryDirectory(prefix="zapdeploy-lava-") as name:
        folder = Path(name)
        write_job(network, stream, folder)
        _run_worker(interpreter, folder, timeout_s)
        result = _read_result(folder)
        spikes = _read_spikes(folder, network)
    return LavaRun(spikes, result["versions"], float(result["seconds"]))


def write_job(network: SigmaDeltaNetwork, stream: Spikes, folder: Path) -> None:
    """job.json and arrays.npz, as the worker reads them."""
    arrays: dict[str, Any] = {}
    populations = []
    for index, population in enumerate(network.populations):
        entry: dict[str, Any] = {
            "name": population.name,
            "shape": population.shape,
            "threshold": population.threshold,
        }
        by = population.requantization
        if by is None:
            arrays[f"stream{index}"] = stream[population.name]
            populations.append({**entry, "kind": "input", "stream": f"stream{index}"})
            continue
        for part in worker.PARAMETERS:
            arrays[f"{part}{index}"] = getattr(by, part)
            entry[part] = f"{part}{index}"
        plain = {key: getattr(by, key) for key in worker.SCALARS}
        populations.append({**entry, **plain, "kind": "neurons"})
    connections = []
    for index, connection in enumerate(network.connections):
        arrays[f"weights{index}"] = _as_lava_has_it(connection.kind, connection.weights)
        plain = {k: v for k, v in vars(connection).items() if k != "weights"}
        connections.append({**plain, "weights": f"weights{index}"})
    job = {
        "protocol": worker.PROTOCOL,
        "steps": len(next(iter(stream.values()))),
        "populations": populations,
        "connections": connections,
    }
    np.savez(folder / "arrays.npz", **arrays)
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")


def _as_lava_has_it(kind: str, weights: IntArray) -> IntArray:
    """Lava's convolution turns kernels around, as the mathematical one does."""
    return weights if kind == "dense" else weights[:, ::-1, ::-1]


def _run_worker(python: Path, folder: Path, timeout_s: float) -> None:
    command = [str(python), "-I", worker.__file__, str(folder)]
    with (folder / "log.txt").open("wb") as log:
        try:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        except OSError as error:
            raise WorkerError(
                f"Lava's interpreter must run, not fail: {error.strerror} ({python}); run {_REPAIR}"
            ) from None
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise WorkerError(
                f"Lava's worker must end within {timeout_s:g} s, not hang; give it fewer frames or "
                "neurons"
            ) from None
        finally:
            end_group(process)  # Lava starts processes of its own
    if not (folder / "result.json").exists():
        lines = (folder / "log.txt").read_text(errors="replace").strip().splitlines()
        last = lines[-1] if lines else f"exit status {status}"
        raise WorkerError(
            f"Lava's worker must write its result, not end without one: {last}; run {_REPAIR}"
        )


def _read_result(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    if "error" in result:
        raise WorkerError(f"Lava's worker must run the network, not fail: {result['error']}")
    if result.get("protocol") != worker.PROTOCOL:
        raise WorkerError(
            f"Lava's worker must speak protocol {worker.PROTOCOL}, not {result.get('protocol')}; "
            f"run {_REPAIR}"
        )
    return result


def _read_spikes(folder: Path, network: SigmaDeltaNetwork) -> dict[str, IntArray]:
    return {
        population.name: np.load(folder / f"spikes{index}.npy", allow_pickle=False).astype(np.int64)
        for index, population in enumerate(network.populations)
    }
