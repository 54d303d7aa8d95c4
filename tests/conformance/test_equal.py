"""The same requests to Nginx and to Envoy: equal answers, and the core sees the same, but for what the table lists."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace

import grpc
import grpc.aio
import pytest

from tests.conformance.asking import Seen, Side
from tests.conformance.cases import Case, cases
from tests.conformance.differences import DIFFERENCES, PAGE, page
from tests.front.double import Script

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
VERSIONS = (1, 2)
CALL, STREAM = "/sidecar.v1.InferenceService/Chat", "/sidecar.v1.InferenceService/StreamChat"
# What each hop says for itself: names, dates, and Envoy's mark of its own refusals.
OF_A_HOP = frozenset(
    {"server", "date", "user-agent", "www-authenticate", "content-length", "x-request-id", "x-front-refused"}
)
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


GRPC: dict[str, tuple[str, str, Script]] = {
    "a call": (CALL, "basic", Script()),
    "a stream": (STREAM, "bearer", Script(pieces=[b"0", b"1", b"2"])),
    "a stream that fails": (
        STREAM,
        "basic",
        Script(pieces=[b"0"], abort=grpc.StatusCode.UNAVAILABLE, abort_text="why"),
    ),
    "no credentials": (CALL, "none", Script()),
    "wrong credentials": (CALL, "wrong", Script()),
    "no method of that name": ("/sidecar.v1.InferenceService/Nothing", "basic", Script()),
    "no service of that name": ("/a.b.Service/Method", "basic", Script()),
    "no service of that name, by nobody": ("/a.b.Service/Method", "none", Script()),
    "the front's own service": ("/sidecar.v1.RestService/ListModels", "basic", Script()),
    "health": ("/grpc.health.v1.Health/Check", "basic", Script()),
    "health, by nobody": ("/grpc.health.v1.Health/Check", "none", Script()),
    **{
        f"the core says {code.name}": (CALL, "basic", Script(abort=code, abort_text="why ä\n"))
        for code in grpc.StatusCode
        if code is not grpc.StatusCode.OK
    },
}


async def _grpc(side: Side, method: str, who: str, script: Script) -> dict[str, object]:
    """Status, text, messages and metadata of a call, and what the core was told of it."""
    credentials = {"basic": side.front.basic, "bearer": side.front.bearer, "wrong": {"authorization": "Basic YTpi"}}
    sent = {**credentials.get(who, {}), "x-team": "a_b", "x-sidecar-user": "mallory", "x-request-id": "chosen-by-me"}
    side.core.script = script
    side.core.calls.clear()
    async with side.front.channel() as channel:
        call = channel.unary_stream(method, bytes, bytes)(b"", metadata=tuple(sent.items()), timeout=30)
        messages = []
        with contextlib.suppress(grpc.aio.AioRpcError):
            async for message in call:
                messages.append(message)
        metadata = [*(await call.initial_metadata() or ()), *(await call.trailing_metadata() or ())]
        metadata = [sorted(each for each in seen.metadata if each[0] not in OF_A_HOP) for seen in side.core.calls]
        return {
            "code": await call.code(),
            "text": await call.details(),
            "messages": messages,
            "metadata": sorted((name, value) for name, value in metadata if name not in OF_A_HOP),
            "core": metadata,
        }


@pytest.mark.parametrize("what", GRPC)
async def test_grpc_is_answered_alike(sides: list[Side], what: str) -> None:
    nginx, envoy = await asyncio.gather(*(_grpc(side, *GRPC[what]) for side in sides))
    assert envoy == nginx


async def test_a_difference_is_seen(sides: list[Side]) -> None:
    """The control: two cores that answer otherwise."""
    nginx, envoy = sides
    case = next(case for case in cases() if case.name == "events")
    other = replace(case, script=Script(status=201, headers=(("retry-after", "1"),), content_type="text/plain"))
    differing = set(_differing(await nginx.ask(case, 1), await envoy.ask(other, 1)))
    assert {"status", "body", "header content-type", "header retry-after"} <= differing


def test_the_page_shows_the_table() -> None:
    assert PAGE.read_text() == page(), "stale: run python -m tests.conformance.differences"
