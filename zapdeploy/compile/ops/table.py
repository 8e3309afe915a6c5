"""The page of supported operators, made from the registry.

python -m zapdeploy.compile.ops.table > docs/operators.md
"""

from __future__ import annotations

import zapdeploy.compile.ops  # noqa: F401  (registers the operators)
from zapdeploy.compile.ops.base import Unit, registered

_UNITS = {
    Unit.MATRIX: "matrix unit, its epilogue in the vector and activation units",
    Unit.VECTOR: "vector and activation units",
    Unit.MOVE: "memory and networks: data changes place, not value",
    Unit.VIEW: "none: whoever reads it reads through it",
}


def operator_page() -> str:
    """The page as Markdown."""
    lines = [
        "# Operators",
        "",
        "What a network may consist of once it is read; the file's own dialect is gone by then.",
        "Made from the operators' own words by `python -m zapdeploy.compile.ops.table`.",
        "",
        "| operator | what it computes | runs in |",
        "|---|---|---|",
    ]
    lines += [f"| {op.name} | {op.summary} | {_UNITS[op.unit]} |" for op in registered()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(operator_page(), end="")
