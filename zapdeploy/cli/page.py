"""The page of the command line, made from its own help."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from zapdeploy.cli.app import app


def command_line_page() -> str:
    """Every command with its arguments and options, as Markdown."""
    group = typer.main.get_command(app)
    head = (
        "# Command line\n\n"
        "Exit status: 0 done; 1 it ran and the answer is no; 2 the input or the call is wrong, with"
        " one line that says what and what to do. `zapdeploy --install-completion` lets the shell"
        " complete commands and options.\n"
    )
    return head + "\n".join(_sections(group, "zapdeploy"))


def _sections(command: Any, path: str) -> Iterator[str]:
    inner = getattr(command, "commands", None)
    if inner:
        for name, one in inner.items():
            yield from _sections(one, f"{path} {name}")
        return
    context = typer.Context(command, info_name=path)
    yield f"\n## {path}\n\n```text\n{command.get_help(context)}\n```\n"
