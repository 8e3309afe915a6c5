"""`extends`: a file that says only how its chip differs from another one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

# What the base chip did and what was published of it says nothing about a chip that differs.
_NOT_INHERITED = ("totals", "published", "schema", "name", "summary")
MOST_GENERATIONS = 8


def extended(raw: dict[str, Any], base_of: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """The whole file of a chip that extends another: its own entries over those of the base.

    Totals and published results are the base's own; they are not inherited, so that totals follow
    from the parts when a part changes. Raises ValueError for circles.
    """
    chain = [raw]
    while (name := chain[-1].get("extends")) is not None:
        if not isinstance(name, str):
            raise ValueError(f"extends must name a target or a .toml file, not {name!r}")
        if len(chain) > MOST_GENERATIONS:
            raise ValueError(f"extends must end at a chip that extends none, not go on at {name!r}")
        chain.append(base_of(name))
    merged: dict[str, Any] = {}
    for generation in reversed(chain):
        inherited = {k: v for k, v in merged.items() if k not in _NOT_INHERITED}
        if "energy" in generation and "calibration" not in generation:
            inherited.pop("calibration", None)  # measured on a chip with other prices
        merged = _over(inherited, generation)
    merged.pop("extends", None)
    return merged


def _over(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """`own` laid over `base`; a number (a table with `is`) replaces the whole number."""
    merged = dict(base)
    for key, value in own.items():
        below = merged.get(key)
        if key != "formats" and _is_table(value) and _is_table(below):
            merged[key] = _over(below or {}, value)
        else:
            merged[key] = value
    for one, other in (("widths", "formats"), ("formats", "widths")):
        if one in own and other not in own:  # one of them says what the unit takes
            merged.pop(other, None)
    return merged


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and "is" not in value


def toml_text(raw: dict[str, Any]) -> str:
    """A file's content as TOML: text, numbers, lists, tables of them."""
    return "\n".join(_lines(raw, "")) + "\n"


def _lines(table: dict[str, Any], name: str) -> list[str]:
    inner = {k: v for k, v in table.items() if isinstance(v, dict) and "is" not in v}
    lines = [f"{_key(k)} = {_value(v)}" for k, v in table.items() if k not in inner]
    if name:
        lines = [f"\n[{name}]", *lines]
    for key, below in inner.items():
        lines += _lines(below, f"{name}.{_key(key)}" if name else _key(key))
    return lines


def _key(key: str) -> str:
    bare = key.replace("-", "").replace("_", "")
    return key if bare.isascii() and bare.isalnum() else _text(key)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return _text(value)


def _text(value: Any) -> str:
    """TOML's basic strings and numbers are JSON's, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
