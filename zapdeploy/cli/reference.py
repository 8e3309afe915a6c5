"""The file that a program was compiled from, to check against."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zapdeploy.errors import DataError

if TYPE_CHECKING:
    from zapdeploy.compile.program.program import Origin


def reference_file(origin: Origin, path: Path, given: Path | None) -> Path:
    """The ONNX file that was compiled, which must be the very same; `path`: the program's."""
    from zapdeploy.simplify import network_digest

    name = origin.name
    tried = [given] if given is not None else [path.parent / name, Path(name)]
    found = next((p for p in tried if p.is_file()), None)
    if found is None:
        raise DataError(f"'{tried[0]}' must be there to check against; give --reference MODEL.onnx")
    if network_digest(found) != origin.sha256:
        raise DataError(
            f"'{found}' must be the file that was compiled, its external data included; "
            "compile it again"
        )
    return found
