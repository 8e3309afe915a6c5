"""Chips that differ from a file's in some keys, and the numbers by which chips differ at all."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from zapdeploy.errors import TargetError
from zapdeploy.hardware_targets.figures import Figure, figures_of
from zapdeploy.hardware_targets.inheritance import extended, toml_text
from zapdeploy.hardware_targets.loader import target_text
from zapdeploy.hardware_targets.schema import Target

# What a file says about its chip, and what no result depends on.
_WORDS = {"schema_version", "kind", "name", "summary", "sources", "totals", "published"}
_APPLIED = {"operating_points", "operating_point", "operation"}  # the loader has applied them
_UNUSED = {"array.transistors"}


def changed_target_text(name_or_path: str, changes: Mapping[str, Any]) -> str:
    """A whole file in which these keys ("core.memory") have other values; it stands alone.

    Numbers are taken as known for sure. As with `extends`, totals and published results are not
    kept: they follow from the parts. Raises TargetError for a key that no file has.
    """
    text = target_text(name_or_path)[1]
    if not changes:
        return text
    base = tomllib.loads(text)
    own: dict[str, Any] = {"extends": "base"}
    for key, value in changes.items():
        table = own
        *tables, last = key.split(".")
        for name in tables:
            table = table.setdefault(name, {})
        table[last] = _as_figure(key, value) if is_number(key) else value
    head: dict[str, Any] = {
        name: base[name] for name in ("schema", "name", "summary") if name in base
    }
    return toml_text({**head, **extended(own, lambda name: base)})


def _as_figure(key: str, value: Any) -> dict[str, Any]:
    return {"is": str(value), "kind": "derived", "from": f"set: {key}"}


def is_number(key: str) -> bool:
    """Whether a key of a file is a number with its provenance, and not a text or a list.

    Raises TargetError for a key that no file has.
    """
    part: Any = Target
    for name in key.split("."):
        part = _inner(part, name)
    if part is None or (part is not Figure and _is_part(part)) or isinstance(part, _Named):
        raise TargetError(
            f"target key must be one that a chip's file has, not '{key}'; "
            "zapdeploy targets show northpole-sim lists them"
        )
    return part is Figure


@dataclass(frozen=True)
class _Named:
    """A table whose keys are free: every one leads to a part of this type."""

    values: type


def _inner(part: Any, name: str) -> Any:
    """The type of an entry of a part; None where there is none of that name."""
    if isinstance(part, _Named):
        return part.values
    if part is Figure or not _is_part(part):
        return None
    named = {field.alias or key: (key, field) for key, field in part.model_fields.items()}
    if name not in named or named[name][0] in _WORDS:
        return None
    kinds = list(_types(named[name][1].annotation))
    found = next((kind for kind in kinds if _is_part(kind)), object)
    return _Named(found) if dict in kinds else found


def _types(annotation: Any) -> Iterator[Any]:
    """Every class that an annotation names."""
    inner = get_args(annotation)
    yield get_origin(annotation) or annotation
    for one in inner:
        yield from _types(one)


def _is_part(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def target_numbers(target: Target) -> dict[str, Any]:
    """Every entry that a result may depend on, by key: for a number its value, ends and whether it
    was assumed; two chips with equal entries behave alike, whatever their files say about them."""
    figures = {
        key: (f.value, f.low, f.high, f.kind == "assumed")
        for key, f in figures_of(target)
        if key.split(".")[0] not in _WORDS | _APPLIED and key not in _UNUSED
    }
    return {**dict(_plain(target, "")), **figures}


def _plain(part: BaseModel, prefix: str) -> list[tuple[str, Any]]:
    """Entries that are no numbers with units: widths, kinds of weights, counts."""
    found: list[tuple[str, Any]] = []
    for name, field in type(part).model_fields.items():
        value, key = getattr(part, name), prefix + (field.alias or name)
        if value is None or isinstance(value, Figure) or name in _WORDS | _APPLIED:
            continue
        if isinstance(value, BaseModel):
            found += _plain(value, f"{key}.")
        elif not isinstance(value, dict) or not _has_parts(value):
            found.append((key, value))
    return found


def _has_parts(table: dict[str, Any]) -> bool:
    return any(isinstance(value, BaseModel) for value in table.values())
