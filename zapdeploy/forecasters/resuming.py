"""How far a training is, in one file that is replaced as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zapdeploy.errors import DataError, UsageError
from zapdeploy.forecasters.folder import write_tensors
from zapdeploy.text import one_line

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

RESUME = "resume.safetensors"


@dataclass(frozen=True)
class Progressed:
    """Steps done, and what the validations said: (step, mean absolute error).

    best: the least error so far, at `best_step`. mark: the error that patience is counted from,
    moved only by an improvement worth the name, `stale` validations ago.
    """

    step: int = 0
    best: float = float("inf")
    best_step: int = 0
    mark: float = float("inf")
    stale: int = 0
    history: tuple[tuple[int, float], ...] = ()

    def stepped(self) -> Progressed:
        return replace(self, step=self.step + 1)

    def validated(self, error: float, least: float = 0.0) -> Progressed:
        """With one more validation, at the present step. least: improvement that is worth it."""
        known = replace(self, history=(*self.history, (self.step, error)), stale=self.stale + 1)
        if error < self.best:
            known = replace(known, best=error, best_step=self.step)
        return replace(known, mark=error, stale=0) if self.mark - error > least else known


def write_resume(
    folder: Path,
    identity: Mapping[str, Any],
    state: Progressed,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write everything that the next step needs."""
    tensors = {f"network/{name}": value for name, value in network.state_dict().items()}
    for index, entries in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": value for name, value in entries.items()}
    notes = {"identity": json.dumps(identity), "state": json.dumps(asdict(state))}
    write_tensors(folder / RESUME, tensors, notes)


def read_resume(
    folder: Path,
    identity: Mapping[str, Any],
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> Progressed:
    """Fill network and optimizer from the folder's resume file; nothing done yet if it has none.

    Raises UsageError when the file is of another training, DataError when it is damaged.
    """
    path = folder / RESUME
    if not path.is_file():
        return Progressed()
    notes, tensors = _read(path)
    found = json.loads(notes["identity"])
    if found != json.loads(json.dumps(identity)):
        raise UsageError(
            f"folder must be empty or hold the same training, not another one: "
            f"{_difference(found, identity)} ({folder}); give another folder, or start over: "
            "--restart"
        )
    try:
        return _fill(network, optimizer, notes["state"], tensors)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise DataError(
            f"resume file must be of this version, not otherwise: {one_line(str(error), 200)} "
            f"({path}); start over: --restart"
        ) from None


def _fill(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    text: str,
    tensors: Mapping[str, Tensor],
) -> Progressed:
    network.load_state_dict(_below("network/", tensors))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _below("optimizer/", tensors).items():
        index, entry = name.split("/")
        moments.setdefault(int(index), {})[entry] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    state = json.loads(text)
    history = tuple((int(step), float(error)) for step, error in state.pop("history"))
    return Progressed(**state, history=history)


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            notes = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"resume file must be whole, not unreadable: {error} ({path}); start over: --restart"
        ) from None
    if not {"identity", "state"} <= notes.keys():
        raise DataError(
            f"resume file must say what it is of, not nothing ({path}); start over: --restart"
        )
    return notes, tensors


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The first thing in which two trainings differ, in words."""
    known = json.loads(json.dumps(wanted))
    flat_found, flat_wanted = _flat(found), _flat(known)
    for name in sorted(flat_found.keys() | flat_wanted.keys()):
        if flat_found.get(name) != flat_wanted.get(name):
            return f"its {name} is {flat_found.get(name)}, not {flat_wanted.get(name)}"
    return "it differs"


def _flat(document: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in document.items():
        flat |= _flat(value) if isinstance(value, dict) else {name: value}
    return flat
