"""Find a target by name or path, read it, and say in one line what is wrong with it."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from zapdeploy.errors import TargetError

if TYPE_CHECKING:
    from pydantic import ValidationError

    from zapdeploy.hardware_targets.schema import Target


def built_in_names() -> tuple[str, ...]:
    """Names of the targets that come with the package."""
    folder = resources.files("zapdeploy.hardware_targets")
    names = (entry.name for entry in folder.iterdir())
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
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TargetError(f"{where} must be TOML: {error}") from None
    from pydantic import ValidationError

    from zapdeploy.hardware_targets.schema import Target

    try:
        return Target.model_validate(raw)
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
