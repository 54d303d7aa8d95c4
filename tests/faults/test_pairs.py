"""The cells of CI leave out no pair, and are few."""

from __future__ import annotations

import itertools

import pytest

from tests.faults.entrances import ENTRANCES
from tests.faults.matrix import FORMATS, TARGETS, Cell, full, paired
from tests.faults.modes import MODES
from tests.faults.pairs import pairs_in, pairs_of, pairwise

# The members of a cell; any two of them must meet with all their values.
AXES = {
    "mode": MODES,
    "streamed": (False, True),
    "entrance": ENTRANCES,
    "format": FORMATS,
    "fallback": (False, True),
}
# Those that must even meet by three and by four, as matrix.py says.
TOGETHER = [
    ("mode", "streamed", "entrance"),
    ("mode", "streamed", "format", "fallback"),
    ("entrance", "format", "fallback"),
]


@pytest.mark.parametrize("names", [*itertools.combinations(AXES, 2), *TOGETHER], ids=" x ".join)
def test_every_combination_occurs_among_the_cells_of_ci(names: tuple[str, ...]) -> None:
    assert missing(paired(), names) == set()


def test_a_cell_that_is_taken_away_is_missed() -> None:
    """Positive control: among the cells there is no other for its entrance."""
    cells = paired()
    removed = cells.pop(100)
    names = TOGETHER[0]
    assert missing(cells, names) == {tuple(getattr(removed, name) for name in names)}


def missing(cells: list[Cell], names: tuple[str, ...]) -> set[tuple[object, ...]]:
    wanted: set[tuple[object, ...]] = set(itertools.product(*(AXES[name] for name in names)))
    return wanted - {tuple(getattr(cell, name) for name in names) for cell in cells}


def test_the_cells_of_ci_are_the_same_in_each_run_and_hardly_more_than_they_must_be() -> None:
    fewest = len(MODES) * 2 * len(ENTRANCES)
    assert paired() == paired()
    assert fewest <= len(paired()) <= fewest * 1.05


def test_the_full_product_has_every_cell_once() -> None:
    cells = [(c.mode, c.streamed, c.entrance, c.format, c.fallback) for part in full() for c in part]
    assert len(cells) == len(set(cells)) == len(MODES) * 2 * len(ENTRANCES) * len(TARGETS)


@pytest.mark.parametrize("sizes", [(1,), (2, 3), (3, 3, 3, 3), (5, 4, 3, 2, 2), (2,) * 10, (30, 1, 7)])
def test_any_axes_are_paired_in_full(sizes: tuple[int, ...]) -> None:
    axes = [range(size) for size in sizes]
    rows = pairwise(axes)
    assert {pair for row in rows for pair in pairs_in(row)} == set(pairs_of(axes))
    assert len(rows) == len(set(rows))
