"""What code results depend on: a changed cost model must not be answered with kept results."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent
# What shows, reads or drives, and gives no number of its own; anything new counts until it is here.
NO_PART = (
    *("cli/", "commands/", "streaming/", "connectomes/", "benchmarks/report/"),
    *(f"explore/{name}.py" for name in ("effects", "engine", "exploring", "page", "pareto")),
    *(f"explore/{name}.py" for name in ("pictures", "plan", "query", "search", "store", "table")),
)


@cache
def code_digest(package: Path = PACKAGE) -> str:
    """SHA-256 of the package's sources that results depend on, in hex: some 30 ms, once."""
    found = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if not name.startswith(NO_PART):
            content = path.read_bytes()
            found.update(f"{name} {len(content)}\n".encode() + content)
    return found.hexdigest()
