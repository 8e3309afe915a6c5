"""The page of supported operators, made from the registries when the site is built.

To read it alone: python -m zapdeploy.compile.frontend.operator_page
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx

import zapdeploy.compile.frontend.importing  # noqa: F401  (registers the translators)
from zapdeploy.compile.frontend.onnx_node import STANDARD
from zapdeploy.compile.frontend.registry import supported_operators
from zapdeploy.compile.ops.base import Operator, Unit, registered
from zapdeploy.simplify import expanded_operators

_UNITS = {
    Unit.MATRIX: "matrix unit, its epilogue in the vector and activation units",
    Unit.VECTOR: "vector and activation units",
    Unit.MOVE: "memory and networks: data changes place, not value",
    Unit.VIEW: "none: whoever reads it reads through it",
}


def operator_page() -> str:
    """The page as Markdown: operators of ONNX, of other domains, and of the graph."""
    lines = [
        "# Operators",
        "",
        "## Of ONNX",
        "Older opsets are read as well: they are brought up to date first. An operator that"
        " is *written out* is replaced by simpler ones of this page.",
        "",
        "| operator | since opset, last changed | attributes | how it is read |",
        "|---|---|---|---|",
        *_standard(),
        "",
        "## Of other domains",
        "",
        "| domain | operator | how it is read |",
        "|---|---|---|",
        *_others(),
        "",
        "## Of the graph",
        "What a network consists of once it is read; the file's own dialect is gone by then.",
        "",
        "| operator | what it computes | runs in | rewriting may rely on |",
        "|---|---|---|---|",
        *(_row(op) for op in registered()),
    ]
    return "\n".join(lines) + "\n"


def _standard() -> Iterator[str]:
    read = {name for domain, name in supported_operators() if domain == STANDARD}
    written_out = {name for domain, name in expanded_operators() if domain == STANDARD}
    for name in sorted(read | written_out):
        if not onnx.defs.has(name):
            continue
        newest = onnx.defs.get_schema(name)
        first = min(s.since_version for s in _schemas(name))
        attributes = ", ".join(sorted(newest.attributes)) or "none"
        how = "as it is" if name in read else "written out"
        yield f"| {name} | {first}, {newest.since_version} | {attributes} | {how} |"


def _schemas(name: str) -> list[onnx.defs.OpSchema]:
    every = onnx.defs.get_all_schemas_with_history()
    return [schema for schema in every if schema.domain == "" and schema.name == name]


def _others() -> Iterator[str]:
    read, written_out = set(supported_operators()), set(expanded_operators())
    for domain, name in sorted(read | written_out):
        if domain != STANDARD:
            how = "as it is" if (domain, name) in read else "written out"
            yield f"| {domain} | {name} | {how} |"


def _row(op: Operator) -> str:
    traits = "; ".join(sorted(trait.value for trait in op.traits))
    return f"| {op.name} | {op.summary} | {_UNITS[op.unit]} | {traits} |"


if __name__ == "__main__":
    print(operator_page(), end="")
