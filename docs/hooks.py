"""Pages of the site that are made from the code: operators, and the command line."""

from __future__ import annotations

from typing import Any

from mkdocs.structure.files import File


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are kept nowhere."""
    from zapdeploy.cli.page import command_line_page
    from zapdeploy.compile.frontend.operator_page import operator_page

    pages = {"operators.md": operator_page(), "command-line.md": command_line_page()}
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files
