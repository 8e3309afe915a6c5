"""JSON documents as dataclasses, every field of the type that it is declared with."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def typed(kind: type[T], document: object) -> T:
    """An object of this type from what JSON holds of it. Raises ValueError for any other."""
    from pydantic import ValidationError

    try:
        found: T = adapter(kind).validate_python(document)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "document"
        raise ValueError(f"{where}: {first['msg']}") from None
    return found


@cache
def adapter(kind: Any) -> Any:
    """What validates this type; made once, which takes longer than most that it validates."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def mapping(document: Any) -> Mapping[str, Any]:
    """A JSON object. Raises ValueError for anything else."""
    return typed(dict[str, Any], document)


def other_schema(document: Mapping[str, Any], known: int) -> str:
    """What is wrong with the version that a document says it has; empty: nothing.

    Documents from before versions were written say none: they are of the first.
    """
    found = document.get("schema", 1)
    if type(found) is int and found == known:
        return ""
    newer = type(found) is int and found > known
    return f"schema {known}, not {found!r:.40}{', of a newer zapdeploy' if newer else ''}"


def read_json(text: str | bytes) -> Any:
    """A document whose numbers are finite. Raises ValueError for any other text."""
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no finite number")
    return number
