"""Results as JSON documents: one way for all that say no more than what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar


class Document:
    """A dataclass whose JSON document has its fields, and the properties that `also` names."""

    also: ClassVar[tuple[str, ...]] = ()

    def as_json(self) -> dict[str, Any]:
        """The fields and those properties, as JSON has them."""
        names = (*(field.name for field in fields(self)), *self.also)  # type: ignore[arg-type]
        return {name: plain(getattr(self, name)) for name in names}


def plain(value: Any) -> Any:
    """A value as JSON has it: what knows its own document is asked, the rest is taken apart."""
    if hasattr(value, "as_json"):
        return value.as_json()
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {name: plain(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [plain(held) for held in value]
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        return value.tolist()
    return str(value) if isinstance(value, Path) else value


def changed_fields(options: Any) -> dict[str, Any]:
    """Of a dataclass of options with defaults, the fields that differ from them."""
    given = {field.name: (getattr(options, field.name), field.default) for field in fields(options)}
    return {name: plain(value) for name, (value, default) in given.items() if value != default}
