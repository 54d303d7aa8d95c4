"""The same requests to Nginx and to Envoy: equal answers, and the core sees the same, but for what the table lists."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.conformance.asking import Seen, Side
from tests.conformance.cases import Case, cases
from tests.conformance.differences import DIFFERENCES, PAGE, page
from tests.front.double import Script

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
VERSIONS = (1, 2)
CASES_MIN = 400


def _differing(nginx: Seen, envoy: Seen) -> Iterator[str]:
    yield from sorted(field for field in nginx.keys() | envoy.keys() if nginx.get(field) != envoy.get(field))


async def _both(sides: list[Side], case: Case, version: int) -> list[Seen]:
    return await asyncio.gather(*(side.ask(case, version) for side in sides))


async def test_both_fronts_give_the_same_answers_but_for_what_is_listed(sides: list[Side]) -> None:
    unlisted, met, pairs = [], set(), 0
    for case in cases():
        for version in VERSIONS[: 1 if case.raw else 2]:
            nginx, envoy = await _both(sides, case, version)
            pairs += 1
            for field in _differing(nginx, envoy):
                row = next((row for row in DIFFERENCES if row.covers(case.name, field)), None)
                if row is None:
                    unlisted.append(f"{case.name}, HTTP/{version}, {field}: {nginx.get(field)!r}, {envoy.get(field)!r}")
                else:
                    met |= {(row.what, pattern) for pattern in row.covers(case.name, field) or ()}
    print(f"\n{pairs} pairs of answers, {len(DIFFERENCES)} known differences")
    assert pairs >= CASES_MIN
    assert not unlisted, "\n".join(unlisted[:40])
    needless = [
        (row.what, each) for row in DIFFERENCES for each in (*row.cases, *row.fields) if (row.what, each) not in met
    ]
    assert not needless


@pytest.mark.parametrize("version", VERSIONS)
async def test_no_answer_of_either_is_without_what_hardens_it(sides: list[Side], version: int) -> None:
    """Equality alone would let both forget it."""
    for case in cases():
        if case.raw or not case.name.startswith(("GET /v1/models", "POST /v1/chat", "path:", "the core says")):
            continue
        for seen in await _both(sides, case, version):
            assert seen["header strict-transport-security"] == "max-age=31536000", case
            assert seen["header x-content-type-options"] == "nosniff", case
            assert "authorization" not in str(seen), case
            assert not any(
                field in seen for field in ("header set-cookie", "header x-internal", "header x-front-refused")
            ), case


async def test_a_difference_is_seen(sides: list[Side]) -> None:
    """The control: two cores that answer otherwise."""
    nginx, envoy = sides
    case = next(case for case in cases() if case.name == "events")
    other = replace(case, script=Script(status=201, headers=(("retry-after", "1"),), content_type="text/plain"))
    differing = set(_differing(await nginx.ask(case, 1), await envoy.ask(other, 1)))
    assert {"status", "body", "header content-type", "header retry-after"} <= differing


def test_the_page_shows_the_table() -> None:
    assert PAGE.read_text() == page(), "stale: run python -m tests.conformance.differences"
