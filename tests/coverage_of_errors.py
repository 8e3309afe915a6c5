"""Errors that no test raises: `python -m tests.coverage_of_errors coverage.json` (`make coverage`).

The recorded coverage says which lines ran; the syntax tree says which lines raise an error of the
product. Prints those that did not run, and their share.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from zapdeploy import errors

ERRORS = frozenset(name for name in vars(errors) if name.endswith("Error")) | {
    "RefusedError",
    "UnsupportedModel",
}


def raises(text: str) -> Iterator[tuple[int, str]]:
    """Lines on which an error of the product is made, and its name."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            if name in ERRORS:
                yield node.lineno, name


def missed(document: dict[str, dict[str, dict[str, list[int]]]]) -> tuple[list[str], int]:
    """Places that were not run, and how many there are in all."""
    found, count = [], 0
    for path, record in sorted(document["files"].items()):
        lines = set(record["executed_lines"])
        for line, name in raises(Path(path).read_text()):
            count += 1
            if line not in lines:
                found.append(f"{path}:{line}: {name}")
    return found, count


def main() -> int:
    document = json.loads(Path(sys.argv[1]).read_text())
    found, count = missed(document)
    print("\n".join(found))
    print(f"{document['totals']['percent_covered']:.1f} % of lines run by tests")
    print(f"{count - len(found)} of {count} messages raised by a test")
    return 0


if __name__ == "__main__":
    sys.exit(main())
