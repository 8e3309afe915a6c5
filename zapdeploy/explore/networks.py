"""Networks of an exploration: what identifies one, and its ONNX file once it is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from zapdeploy.benchmarks.models.model_files import bits_of, precision_file
from zapdeploy.benchmarks.models.onnx_model import input_shape, model_facts
from zapdeploy.benchmarks.models.workloads import FLOAT, INT8, ModelSize, Workload, find_workload
from zapdeploy.explore.code import code_digest
from zapdeploy.explore.points import digest_of
from zapdeploy.forecasters.registry import find_forecaster

NETWORKS = "networks"  # where their files are, in a folder of results


def made_folder(folder: Path) -> Path:
    """Where networks are that this very code has made."""
    found = folder / NETWORKS / code_digest()[:12]
    found.mkdir(parents=True, exist_ok=True)
    return found


@dataclass(frozen=True)
class Network:
    """A model at a precision. `key` changes whenever the file would be another one."""

    workload: Workload
    precision: str
    is_given: bool = False

    @cached_property
    def key(self) -> str:
        if self.is_given:
            return digest_of(["given", self.workload.identity])
        return digest_of([code_digest(), self.workload.identity, self.precision])

    @property
    def can_be_judged(self) -> bool:
        """Whether it may be a forecaster with weights that somebody trained."""
        return self.workload.path is not None or (
            self.workload.has_weights and self.workload.is_forecaster
        )

    @cached_property
    def context(self) -> int | None:
        """Frames that a forecaster reads; None for other networks."""
        return _context(self.workload)

    @property
    def facts(self) -> dict[str, str | int | None]:
        """What the table says of a network beside its model's name."""
        name = self.workload.network
        family = name.rpartition("-c")[0] if self.workload.is_forecaster else name
        return {"network": family or None, "context": self.context}

    def file(self, folder: Path) -> Path:
        """The quantized ONNX file, made in `folder` where it has to be."""
        if self.is_given:
            assert self.workload.path is not None
            return self.workload.path
        return precision_file(self.workload, self.precision, folder, core_array=True).path


class Networks:
    """All networks of an exploration, by key."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Network] = {}
        self.by_key: dict[str, Network] = {}
        self._files: dict[str, Path] = {}
        self._contexts: dict[str, int] = {}

    def of(self, values: Mapping[str, Any]) -> tuple[str, str]:
        """The key of a point's network, and the precision that it has.

        Raises UsageError for a model that is not there.
        """
        asked = tuple(values[name] for name in ("model", "precision", "neurons", "width"))
        if asked not in self._known:
            self._known[asked] = found = _found(*asked)
            self.by_key[found.key] = found
        network = self._known[asked]
        return network.key, network.precision

    def longest_context(self, models: Sequence[str]) -> int:
        """Of all forecasters among models that can be judged; 0 where there are none."""
        for model in models:
            if model not in self._contexts:
                found = Network(find_workload(model, ModelSize()), INT8)
                self._contexts[model] = found.context or 0 if found.can_be_judged else 0
        return max((self._contexts[model] for model in models), default=0)

    def file(self, key: str, folder: Path) -> Path:
        """A network's file, made in a folder of results where it has to be."""
        if key not in self._files:
            self._files[key] = self.by_key[key].file(made_folder(folder))
        return self._files[key]

    def alternating(self, keys: Iterable[str]) -> dict[str, int]:
        """Places in an order in which one model's precisions do not follow each other: they wait
        for one float file, while the next model's can be made."""
        ranks: Counter[str] = Counter()
        found = {}
        for key in dict.fromkeys(keys):
            model = self.by_key[key].workload.identity
            found[key] = ranks[model]
            ranks[model] += 1
        return found


def _context(workload: Workload) -> int | None:
    if workload.is_forecaster:
        return find_forecaster(workload.network)[1]
    if workload.path is None:
        return None
    shape = input_shape(workload.path)
    return shape[1] if len(shape) == 3 else None  # [batch, context, neurons]


def _found(model: str, precision: str | None, neurons: int | None, width: int | None) -> Network:
    """A file that is quantized already is taken as it is, whatever precision is asked for."""
    workload = find_workload(model, ModelSize(neurons, width))
    if workload.path is not None and (own := model_facts(workload.path).precision) != FLOAT:
        return Network(workload, own, is_given=True)
    bits_of(precision or INT8)
    return Network(workload, precision or INT8)
