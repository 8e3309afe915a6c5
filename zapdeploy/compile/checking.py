"""What `zapdeploy check` says about a file: a row for each node, also when some are refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zapdeploy.compile.frontend import (
    Decision,
    Imported,
    Outcome,
    UnsupportedModel,
    import_model,
)


@dataclass(frozen=True, eq=False)
class Check:
    """A row for each node of the file, in its order, with the true widths of what it reads.

    `imported` is None and `refusal` says why when the chip cannot run the file.
    """

    decisions: tuple[Decision, ...]
    imported: Imported | None
    refusal: str = ""

    def count(self, outcome: Outcome) -> int:
        """How many nodes came to this."""
        return sum(decision.outcome is outcome for decision in self.decisions)


def check_model(path: Path | str, *, batch: int | None = None) -> Check:
    """Judge an ONNX file. Raises ModelError only for a file that is damaged or wrong in itself."""
    try:
        imported = import_model(path, batch=batch)
    except UnsupportedModel as error:
        return Check(error.decisions, None, str(error))
    return Check(imported.decisions, imported)
