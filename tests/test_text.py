from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zapdeploy.text import MOST_CHARACTERS, one_line


@given(st.text())
def test_is_one_safe_line(text: str) -> None:
    line = one_line(text)
    assert line.isprintable()
    assert len(line) <= MOST_CHARACTERS


def test_escape_sequences_are_shown() -> None:
    assert one_line("a\x1b[31mred\x07\n b\u202e") == "a\\x1b[31mred\\x07 b\\u202e"


def test_ordinary_text_stays() -> None:
    assert one_line("größe muss 3 sein, nicht 4") == "größe muss 3 sein, nicht 4"


def test_the_advice_at_the_end_stays() -> None:
    line = one_line("x must be " + "1, " * 100_000 + "; give --batch")
    assert line.startswith("x must be 1, 1, ")
    assert line.endswith("; give --batch")
    assert len(line) <= MOST_CHARACTERS
