"""What `zapdeploy check` says about a file: a row for each node, also when some are refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from zapdeploy.compile.frontend import (
    Decision,
    Imported,
    Outcome,
    UnsupportedModel,
    import_model,
)
from zapdeploy.simplify import InputShapes
from zapdeploy.simplify.onnx_operators import STATIC_QUANTIZERS


@dataclass(frozen=True, eq=False)
class Check:
    """A row for each node of the file, in its order, with the true widths of what it reads.

    `imported` is None and `refusal` says why when the chip cannot run the file; `needs_quantizing`
    where that is only because it is in float.
    """

    decisions: tuple[Decision, ...]
    imported: Imported | None
    refusal: str = ""
    needs_quantizing: bool = False
    notes: tuple[str, ...] = ()

    def count(self, outcome: Outcome) -> int:
        """How many nodes came to this."""
        return sum(decision.outcome is outcome for decision in self.decisions)

    def without_quantizers(self) -> Check:
        """The same without rows for quantizers, which the float file has not."""
        return replace(
            self, decisions=tuple(d for d in self.decisions if d.op not in STATIC_QUANTIZERS)
        )


def check_model(path: Path | str, *, shapes: InputShapes | None = None) -> Check:
    """Judge an ONNX file. Raises ModelError only for a file that is damaged or wrong in itself."""
    given = shapes or InputShapes()
    try:
        imported = import_model(path, batch=given.batch, shapes=given.given)
    except UnsupportedModel as error:
        return Check(error.decisions, None, error.on_command_line, error.needs_quantizing)
    return Check(imported.decisions, imported, notes=imported.notes)
