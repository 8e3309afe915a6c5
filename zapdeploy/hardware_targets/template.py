"""A file to start from: another chip's, with every number in place and commented out."""

from __future__ import annotations

import re
import tomllib

from zapdeploy.hardware_targets.loader import load_any_target, source_text, target_text

_HEADER = re.compile(r"\[([\w.\"-]+)\]")
_OF_THE_BASE = ("totals", "published")  # say what the base is and did


def template(name: str, base: str) -> str:
    """The text of a file for a chip `name` that so far equals `base` (a name or a path)."""
    load_any_target(base)  # says what is wrong with it
    text = source_text(base)[1] if "@" not in base else target_text(base)[1]
    if "extends" in tomllib.loads(text):
        text = target_text(base)[1]
    kind = "schema = 2\n" if "\n[chip]" not in text else 'schema = 2\nkind = "event-driven"\n'
    return (
        f"# {name} equals {base} until you change it: take the # off a line and write your\n"
        "# number. `kind` says how a number is known, `error` (or `low` and `high`) how far it\n"
        "# may be off. Totals follow from the parts. What your file does not say is taken from\n"
        f"# {base}. Check it with: zapdeploy targets check {name}.toml\n\n"
        f'{kind}name = "{name}"\nsummary = "{base}, changed"\nextends = "{base}"\n'
        f"{_commented(text)}"
    )


def _commented(text: str) -> str:
    """Tables and comments as they are, entries with a # before them; without the base's totals."""
    first = re.search(r"^\[", text, re.MULTILINE)
    kept: list[str] = []
    waiting: list[str] = []  # comments belong to the table that follows
    dropping = False
    for line in text[first.start() if first else 0 :].splitlines():
        header = _HEADER.match(line)
        if header:
            dropping = header[1].split(".")[0] in _OF_THE_BASE
        if not line.strip() or line.startswith("#"):
            waiting.append(line)
            continue
        # A chip's formats replace those of its base as a whole, so their tables stay out too.
        stays = header and ".formats" not in header[1]
        if not dropping:
            kept += [*waiting, line if stays else f"#{line}"]
        waiting = []
    return "\n" + "\n".join(kept) + "\n"
