"""Find a target by name or path, read it, and say in one line what is wrong with it."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from zapdeploy.errors import TargetError

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    from zapdeploy.hardware_targets.event_driven.schema import EventTarget
    from zapdeploy.hardware_targets.schema import Target

T = TypeVar("T", bound="BaseModel")
_EVENT_DRIVEN = "zapdeploy.hardware_targets.event_driven"


def built_in_names() -> tuple[str, ...]:
    """Names of the core-array chips that come with the package."""
    return _names_in("zapdeploy.hardware_targets")


def event_driven_names() -> tuple[str, ...]:
    """Names of the event-driven chips that come with the package."""
    return _names_in(_EVENT_DRIVEN)


def _names_in(package: str) -> tuple[str, ...]:
    names = (entry.name for entry in resources.files(package).iterdir())
    return tuple(sorted(n.removesuffix(".toml") for n in names if n.endswith(".toml")))


def target_text(name_or_path: str | Path) -> tuple[str, str]:
    """(where it was read, the file's text) for a built-in name or a path to a TOML file."""
    name = str(name_or_path)
    if name.endswith(".toml"):
        try:
            return name, Path(name).read_text(encoding="utf-8")
        except OSError as error:
            raise TargetError(f"target file '{name}' must be readable: {error.strerror}") from None
        except UnicodeDecodeError:
            raise TargetError(f"target file '{name}' must be UTF-8 text") from None
    if name in event_driven_names():
        raise TargetError(
            f"target must be a core array, not '{name}', which is event-driven; run it with "
            f"zapdeploy bench --targets {name}"
        )
    if name not in built_in_names():
        raise TargetError(
            f"target must be one of {', '.join(built_in_names())} or a path ending in .toml,"
            f" not '{name}'"
        )
    resource = resources.files("zapdeploy.hardware_targets") / f"{name}.toml"
    return f"{name}.toml", resource.read_text(encoding="utf-8")


def load_target(name_or_path: str | Path) -> Target:
    """The checked target. Raises TargetError with the file, the key and what must change."""
    where, text = target_text(name_or_path)
    return parse_target(text, f"target file '{where}'")


def parse_target(text: str, where: str) -> Target:
    """The checked target in a TOML text; `where` names it in errors."""
    from zapdeploy.hardware_targets.schema import Target

    return _checked(Target, text, where)


def load_event_target(name: str) -> EventTarget:
    """An event-driven chip by name. Raises TargetError for an unknown one."""
    from zapdeploy.hardware_targets.event_driven.schema import EventTarget

    if name not in event_driven_names():
        raise TargetError(
            f"event-driven target must be one of {', '.join(event_driven_names())}, not '{name}'"
        )
    text = (resources.files(_EVENT_DRIVEN) / f"{name}.toml").read_text(encoding="utf-8")
    return _checked(EventTarget, text, f"target file '{name}.toml'")


def _checked(schema: type[T], text: str, where: str) -> T:
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TargetError(f"{where} must be TOML: {error}") from None
    from pydantic import ValidationError

    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        raise TargetError(f"{where}: {_one_line(error)}") from None


def _one_line(error: ValidationError) -> str:
    """All complaints of the schema, each with its key, in one line."""
    return "; ".join(_complaint(item["loc"], item["type"], item["msg"]) for item in error.errors())


def _complaint(location: tuple[int | str, ...], kind: str, text: str) -> str:
    key = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        return f"unknown key '{key}'; remove it or correct its spelling"
    if kind == "missing":
        return f"key '{key}' must be given"
    text = text.removeprefix("Value error, ")
    return f"{key} {text}" if key else text
