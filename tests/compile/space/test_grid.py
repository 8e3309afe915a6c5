"""Where dimensions are cut, and which grid suits a number of cards."""

from __future__ import annotations

import numpy as np
import pytest

from tests.networks import small_cnn
from zapdeploy.compile.space.grid import Grid, borders, parse_grid
from zapdeploy.compile.space.program import suited_grid
from zapdeploy.errors import UsageError


@pytest.mark.parametrize(("length", "parts"), [(9, 2), (36, 4), (7, 7), (18, 5)])
def test_resolutions_are_cut_at_the_same_place(length: int, parts: int) -> None:
    """Twice the coarsest length is cut at twice its borders, and nobody gets nothing."""
    coarse = borders(length, parts, length)
    np.testing.assert_array_equal(borders(4 * length, parts, length), 4 * coarse)
    for odd in range(length, 3 * length):
        cuts = borders(odd, parts, length)
        assert (cuts[0], cuts[-1]) == (0, odd)
        assert (np.diff(cuts) > 0).all()


def test_places_run_fastest_along_the_last_dimension() -> None:
    assert Grid((1, 2, 3)).places.tolist() == [
        [0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 1, 0], [0, 1, 1], [0, 1, 2],
    ]  # fmt: skip


@pytest.mark.parametrize(("cards", "parts"), [(1, (1, 1)), (4, (2, 2)), (3, (1, 3)), (8, (2, 4))])
def test_suited_grid(cards: int, parts: tuple[int, ...]) -> None:
    """Of images of 8 x 8: boxes as square as they can be."""
    assert suited_grid(small_cnn(), cards).parts in (parts, parts[::-1])


@pytest.mark.parametrize("text", ["", "2x", "axb", "0x2", "-1x2"])
def test_grids_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="chip_grid must be"):
        parse_grid(text)


def test_too_many_cards() -> None:
    with pytest.raises(UsageError, match=r"chips must be a product .* \[8, 8\] .*, not 11"):
        suited_grid(small_cnn(), 11)
