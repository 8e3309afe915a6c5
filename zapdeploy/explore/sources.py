"""Networks' files for workers. Workers make them, too: to quantize a network of all neurons takes
longer than hundreds of its points.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zapdeploy.benchmarks.models.model_files import float_file
from zapdeploy.benchmarks.models.workloads import Workload
from zapdeploy.explore.apart import apart
from zapdeploy.explore.networks import Network, Networks, made_folder
from zapdeploy.files import require_regular

_MOST_SENT = 2  # networks whose content is held here; they come one after the other


@dataclass(frozen=True)
class NetworkFile:
    """An ONNX file: its path, or its content where the path means nothing to workers."""

    path: Path
    content: bytes | None = None

    def at(self, folder: Path) -> Path:
        """The file's path; content is kept in `folder` for the next task."""
        if self.content is None:
            return self.path
        path = folder / self.path.name
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.content)
        return path


@dataclass
class Sources:
    """What points wait for: futures of `client`, of each network's file.

    `folder`: of results. `shared`: whether workers see the files that this process sees.
    """

    client: Any
    networks: Networks
    folder: Path
    shared: bool
    _made: dict[str, Any] = field(default_factory=dict)
    _floats: dict[str, Any] = field(default_factory=dict)
    _sent: dict[str, Any] = field(default_factory=dict)

    def of(self, network: str) -> Any:
        """The future of a network's file, by its key."""
        found = self.networks.by_key[network]
        if not self.shared and found.workload.has_weights:
            return self._sent_from_here(network)
        if network not in self._made or _is_lost(self._made[network]):
            folder = str(self.folder.resolve()) if self.shared else None
            named = found.workload.path is None
            source = self._float(found.workload, folder) if named else None
            self._made[network] = self.client.submit(
                make_network, found, folder, source, key=f"network-{network}", pure=False
            )
        return self._made[network]

    def _float(self, workload: Workload, folder: str | None) -> Any:
        """Of the float file that all of a network's precisions are made from."""
        key = workload.identity
        if key not in self._floats or _is_lost(self._floats[key]):
            self._floats[key] = self.client.submit(
                make_float, workload, folder, key=f"float-{key}", pure=False
            )
        return self._floats[key]

    def _sent_from_here(self, network: str) -> Any:
        """Of a user's files, which are here alone."""
        if network not in self._sent or _is_lost(self._sent[network]):
            while len(self._sent) >= _MOST_SENT:
                self._sent.pop(next(iter(self._sent)))
            file = self.networks.file(network, self.folder)
            self._sent[network] = self.client.scatter(_with_content(file), hash=False)
        return self._sent[network]


def _is_lost(future: Any) -> bool:
    """Whether a file has to be made again, as workers were lost with it."""
    from distributed import KilledWorker

    if future.status == "error":
        return isinstance(future.exception(), KilledWorker)
    return bool(future.status in ("cancelled", "lost"))


def make_float(workload: Workload, folder: str | None) -> None:
    """Called by Dask: a network's float file, for its precisions to be made from."""
    apart(_write_float, workload, _folder(folder))


def make_network(network: Network, folder: str | None, source: None) -> NetworkFile:
    """Called by Dask, once the float file `source` is there: a network's file at its precision.

    folder: None where files are not shared; then the content is returned.
    """
    path = (
        network.file(_folder(folder)) if network.is_given else apart(network.file, _folder(folder))
    )
    return NetworkFile(path) if folder is not None else _with_content(path)


def _write_float(workload: Workload, folder: Path) -> None:
    float_file(workload, folder)


def _folder(folder: str | None) -> Path:
    from distributed import get_worker

    return made_folder(Path(get_worker().local_directory if folder is None else folder))


def _with_content(file: Path) -> NetworkFile:
    """An ONNX file in one piece, data that lies beside it included."""
    from zapdeploy.benchmarks.models.onnx_model import load_model
    from zapdeploy.errors import ModelError

    require_regular(file, ModelError, "model")
    try:
        return NetworkFile(Path(file.name), load_model(file).SerializeToString())
    except ValueError:
        raise ModelError(
            f"model must be under 2 GiB to be sent to workers, not larger ({file}); "
            "use workers that share this folder"
        ) from None
