"""Find a target by name or path, read it, and say in one line what is wrong with it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from zapdeploy.errors import TargetError
from zapdeploy.files import read_text

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    from zapdeploy.hardware_targets.event_driven.schema import EventTarget
    from zapdeploy.hardware_targets.schema import Target

T = TypeVar("T", bound="BaseModel")
CORE_ARRAY, EVENT_DRIVEN = "core-array", "event-driven"
_PACKAGES = {
    CORE_ARRAY: "zapdeploy.hardware_targets",
    EVENT_DRIVEN: "zapdeploy.hardware_targets.event_driven",
}


def built_in_names() -> tuple[str, ...]:
    """Names of the core-array chips that come with the package."""
    return _names_in(_PACKAGES[CORE_ARRAY])


def event_driven_names() -> tuple[str, ...]:
    """Names of the event-driven chips that come with the package."""
    return _names_in(_PACKAGES[EVENT_DRIVEN])


def _names_in(package: str) -> tuple[str, ...]:
    names = (entry.name for entry in resources.files(package).iterdir())
    return tuple(sorted(n.removesuffix(".toml") for n in names if n.endswith(".toml")))


def source_text(name_or_path: str | Path) -> tuple[str, str]:
    """(where it was read, the file as it stands) of any kind of target, by name or path."""
    name = str(name_or_path)
    if name.endswith(".toml"):
        return name, read_text(Path(name), TargetError, "target file")
    package = _PACKAGES[EVENT_DRIVEN if name in event_driven_names() else CORE_ARRAY]
    if name not in _names_in(package):
        raise TargetError(
            f"target must be one of {', '.join(built_in_names())} or a path ending in .toml,"
            f" not '{name}'"
        )
    resource = resources.files(package) / f"{name}.toml"
    return f"{name}.toml", resource.read_text(encoding="utf-8")


def target_text(name_or_path: str | Path) -> tuple[str, str]:
    """(where it was read, a text that stands alone) of a core-array chip, by name or path.

    NAME@POINT is the chip at one of its operating points. A file that extends another, or is wanted
    at an operating point, comes as the whole file that it means; any other as it stands.
    """
    name, _, point = str(name_or_path).partition("@")
    if point and not point.endswith(".toml"):
        where, text = source_text(name)
    else:  # a path may have an @ of its own
        (where, text), point = source_text(name_or_path), ""
    raw = _as_tables(text, f"target file '{where}'", strict=False)
    if kind_of(raw) == EVENT_DRIVEN:
        raise TargetError(
            f"target must be a core array, not '{name_or_path}', which is event-driven; run it "
            f"with zapdeploy bench --targets {name_or_path}"
        )
    if "extends" not in raw and not point:
        return where, text
    from zapdeploy.hardware_targets.inheritance import toml_text

    whole = _whole(raw, where)
    return where, toml_text({**whole, "operating_point": point} if point else whole)


def kind_of(raw: dict[str, Any]) -> str:
    """What kind of chip a file describes; without `kind`, its tables say it."""
    return str(raw.get("kind", EVENT_DRIVEN if "chip" in raw else CORE_ARRAY))


def is_event_driven_file(name_or_path: str | Path) -> bool:
    """Whether this is the path of an event-driven chip's file."""
    if not str(name_or_path).endswith(".toml"):
        return False
    return kind_of(_as_tables(source_text(name_or_path)[1], "", strict=False)) == EVENT_DRIVEN


def load_target(name_or_path: str | Path) -> Target:
    """The checked target. Raises TargetError with the file, the key and what must change."""
    where, text = target_text(name_or_path)
    return parse_target(text, f"target file '{where}'")


def parse_target(text: str, where: str) -> Target:
    """The checked target in a TOML text; `where` names it in errors."""
    from zapdeploy.hardware_targets.operating import at_operating_point
    from zapdeploy.hardware_targets.schema import Target

    raw = _as_tables(text, where)
    if "extends" in raw:
        raw = _whole(raw, where)
    return at_operating_point(_checked(Target, raw, where))


def load_event_target(name_or_path: str | Path) -> EventTarget:
    """An event-driven chip by name or path. Raises TargetError for an unknown one."""
    from zapdeploy.hardware_targets.event_driven.schema import EventTarget

    name = str(name_or_path)
    if name not in event_driven_names() and not name.endswith(".toml"):
        raise TargetError(
            f"event-driven target must be one of {', '.join(event_driven_names())} or a path ending"
            f" in .toml, not '{name}'"
        )
    file, text = source_text(name)
    where = f"target file '{file}'"
    raw = _as_tables(text, where)
    return _checked(EventTarget, _whole(raw, where) if "extends" in raw else raw, where)


def load_any_target(name_or_path: str | Path) -> Target | EventTarget:
    """A chip of any kind, by name or path."""
    name = str(name_or_path)
    if "@" not in name:
        where, text = source_text(name)
        if kind_of(_as_tables(text, f"target file '{where}'")) == EVENT_DRIVEN:
            return load_event_target(name)
    return load_target(name)


def _as_tables(text: str, where: str, strict: bool = True) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of too many digits
        if not strict:
            return {}
        raise TargetError(f"{where} must be TOML: {error}") from None


def _whole(raw: dict[str, Any], where: str) -> dict[str, Any]:
    """The file with everything that it takes from others."""
    from zapdeploy.hardware_targets.inheritance import extended

    def base_of(name: str) -> dict[str, Any]:
        file, text = source_text(_beside(name, where))
        return _as_tables(text, f"target file '{file}'")

    try:
        return extended(raw, base_of)
    except ValueError as error:
        raise TargetError(f"{where}: {error}") from None


def _beside(name: str, where: str) -> str:
    """A base named by a relative path lies beside the file that names it."""
    if not name.endswith(".toml") or Path(name).is_absolute():
        return name
    folder = Path(where.removeprefix("target file '").removesuffix("'")).parent
    return str(folder / name) if (folder / name).exists() else name


def _checked(schema: type[T], raw: dict[str, Any], where: str) -> T:
    from pydantic import ValidationError

    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        found = _complaints(error)
        unchecked = [c for c in _unknown_sources(raw, raw.get("sources"), "") if c not in found]
        raise TargetError(f"{where}: {'; '.join([found, *unchecked])}") from None


def _complaints(error: ValidationError) -> str:
    """All complaints of the schema, each with its key."""
    return "; ".join(_complaint(item["loc"], item["type"], item["msg"]) for item in error.errors())


def _unknown_sources(table: dict[str, Any], sources: Any, prefix: str) -> Iterator[str]:
    """Sources that are not listed: the schema looks at them only when all else is right."""
    for key, below in table.items():
        if not isinstance(below, dict) or not isinstance(sources, dict):
            continue
        source = below.get("source")
        if isinstance(source, str) and not set(source.split()) <= set(sources):
            yield f"{prefix}{key}: source must be one of [sources], not {source!r}"
        yield from _unknown_sources(below, sources, f"{prefix}{key}.")


def _complaint(location: tuple[int | str, ...], kind: str, text: str) -> str:
    key = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        return f"unknown key '{key}'; remove it or correct its spelling"
    if kind == "missing":
        return f"key '{key}' must be given"
    text = text.removeprefix("Value error, ")
    return f"{key} {text}" if key else text
