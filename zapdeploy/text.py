"""Text from files, safe and short enough for a line on a terminal."""

from __future__ import annotations

MOST_CHARACTERS = 1000
_KEPT_AT_THE_END = 300  # where messages say what to do


def one_line(text: str, most: int = MOST_CHARACTERS) -> str:
    """One line of printable characters, the middle left out where it is too long.

    What is not printable (escape sequences of terminals, marks that turn the direction of writing)
    is shown as Python escapes it.
    """
    if len(text) > 8 * most:
        text = text[: 4 * most] + text[-4 * most :]
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    if len(line) <= most:
        return line
    end = min(_KEPT_AT_THE_END, most // 3)
    return f"{line[: most - end - 5]} ... {line[-end:]}"
