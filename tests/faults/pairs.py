"""Few rows in which every pair of values of any two axes occurs: what a full product would find, mostly, at a fraction of it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Container, Hashable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

Place = tuple[int, Hashable]  # which axis, which value


def pairwise(axes: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """The same rows for the same axes. Greedy: each row begins with the first pair that is still missing, and takes along on the
    other axes what is missing most with it, by lot among equals. There are at least as many rows as pairs of the two longest."""
    missing = dict.fromkeys(pairs_of(axes))  # in the order of the axes: a set would have another in each run
    lots = random.Random(0)
    rows: list[tuple[Any, ...]] = []
    while missing:
        row = dict(next(iter(missing)))
        for axis, values in enumerate(axes):
            if axis not in row:
                row[axis] = max(lots.sample(values, len(values)), key=partial(_gain, missing, row, axis))
        rows.append(tuple(row[axis] for axis in range(len(axes))))
        for pair in pairs_in(rows[-1]):
            missing.pop(pair, None)
    return rows


def pairs_of(axes: Sequence[Sequence[Hashable]]) -> Iterator[tuple[Place, Place]]:
    """All there are."""
    for (first, ones), (second, others) in itertools.combinations(enumerate(axes), 2):
        for one, other in itertools.product(ones, others):
            yield (first, one), (second, other)


def pairs_in(row: Sequence[Hashable]) -> Iterator[tuple[Place, Place]]:
    return itertools.combinations(enumerate(row), 2)


def _gain(missing: Container[tuple[Place, Place]], row: Mapping[int, Hashable], axis: int, value: Hashable) -> int:
    here = (axis, value)
    return sum(((there, here) if there[0] < axis else (here, there)) in missing for there in row.items())
