"""Recordings of every format, replayed over real HTTP, through RestService and the typed services of a real worker.

The provider sends each recording in its own way, drawn by its name: chunked or not, gzipped or not, cut anywhere, slowly. What
comes out is what the oracle read. All recordings, some ten seconds.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import msgspec
import pytest
from google.api.httpbody_pb2 import HttpBody

from adapters import Task
from sidecar.domain.status import STATUS_ROWS
from tests.adapters.laws import cases, events_of, normal
from tests.adapters.meaning import accumulated, meaning_of, with_parsed_arguments
from tests.oracles import openai as openai_oracle
from tests.oracles.openai_finish_and_usage import COUNTS
from tests.provider import Call, Provider, Reply
from tests.stack.replaying import REPLAYED, Replayed, cut, reply, rest_request, routes, typed_request
from tests.worker.running import WorkerProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

USER = (("x-sidecar-user", "replay"),)
IN_FLIGHT = 8
METHODS = {Task.CHAT: "ChatCompletions", Task.COMPLETIONS: "Completions", Task.EMBEDDINGS: "Embeddings"}


OK = [one for one in REPLAYED if one.case.status == 200 and not one.case.failed]
FAILING = [one for one in REPLAYED if one not in OK]


def script(call: Call) -> Reply:
    return reply(REPLAYED[int(call.path.split("/")[1])])


async def each(wanted: list[Replayed], check: Callable[[Replayed], Awaitable[None]]) -> dict[str, str]:
    """Checks them all, a few at a time; what went wrong, by recording."""
    wrong: dict[str, str] = {}
    free = asyncio.Semaphore(IN_FLIGHT)

    async def one(replayed: Replayed) -> None:
        async with free:
            try:
                await check(replayed)
            except (AssertionError, grpc.aio.AioRpcError, KeyError) as problem:
                wrong[replayed.name] = f"{type(problem).__name__}: {str(problem)[:600]}"

    await asyncio.gather(*(one(replayed) for replayed in wanted))
    return wrong


async def rest(worker_stub: Any, one: Replayed, body: dict[str, Any]) -> tuple[int, bytes, bytes]:
    """Status, the request's bytes and the answer's."""
    sent = json.dumps(body, ensure_ascii=False, indent=1).encode()
    call = getattr(worker_stub, METHODS[one.case.task])(HttpBody(data=sent), metadata=USER)
    status = int(dict(await call.initial_metadata())["x-http-status"])
    return status, sent, b"".join([part.data async for part in call])


def agrees(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """The same texts, calls, reasons and vectors; every count that the oracle knows."""
    assert {k: v for k, v in found.items() if k != "usage"} == {k: v for k, v in wanted.items() if k != "usage"}
    assert {name: found["usage"].get(name) for name in wanted["usage"]} == wanted["usage"]


def in_openais_words(usage: dict[str, int]) -> dict[str, int]:
    """The counts that OpenAI's own oracle reads."""
    return {name: count for name, count in usage.items() if name in COUNTS}


def passed_unchanged(one: Replayed, sent: bytes, received: bytes, answer: bytes) -> None:
    """Every member of the request but two keeps its bytes; so do a whole answer, and the events of a stream."""
    members = [msgspec.json.decode(body, type=dict[str, msgspec.Raw]) for body in (sent, received)]
    renamed = one.case.row.provider.renamed
    before, after = ({k: bytes(v) for k, v in m.items() if k not in ("model", "stream_options")} for m in members)
    assert after == {renamed.get(name, name): value for name, value in before.items()}
    if not one.case.streamed:
        assert answer == one.case.body
        return
    events = [event.strip() for event in events_of(one.case.sse)]
    got = [event.strip() for event in events_of(answer)]
    kept = [event for event in events if not event.startswith(b":")]
    done = next((i for i, event in enumerate(kept) if event == b"data: [DONE]"), len(kept))
    assert [event for event in got if not event.startswith(b":")] == [*kept[:done], b"data: [DONE]"]


@pytest.fixture
def provider() -> Any:
    with Provider(script=script) as running:
        yield running


def requests_of(provider: Provider) -> dict[int, Call]:
    return {int(call.path.split("/")[1]): call for call in provider.calls}


async def test_rest_answers_are_openais_and_say_what_the_oracle_read(provider: Provider) -> None:
    async with WorkerProcess(routes(provider)) as worker:
        stub = worker.rest()

        async def check(one: Replayed) -> None:
            status, sent, answer = await rest(stub, one, rest_request(one))
            assert status == 200, answer
            response = {"sse": answer.decode()} if one.case.streamed else {"body": json.loads(answer)}
            read = openai_oracle.answer({"endpoint": str(one.case.task), "response": response})
            agrees(with_parsed_arguments(read), one.wanted | {"usage": in_openais_words(one.wanted["usage"])})
            if one.passes:
                passed_unchanged(one, sent, requests_of(provider)[one.number].body, answer)

        assert await each(OK, check) == {}
    assert len({call.path for call in provider.calls}) == len(OK)


async def test_typed_answers_say_what_the_oracle_read(provider: Provider) -> None:
    async with WorkerProcess(routes(provider)) as worker:
        stub = worker.inference()

        async def check(one: Replayed) -> None:
            answer = await typed(stub, one)
            agrees(with_parsed_arguments(meaning_of(answer, one.wanted)), one.wanted)
            if one.case.row.requests and one.case.row.provider.format == "openai":
                got, recorded = normal(requests_of(provider)[one.number].json), normal(one.case.request)
                assert without_ours(got) == without_ours(recorded)

        assert await each(OK, check) == {}


def without_ours(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in ("model", "stream_options")}


async def typed(stub: Any, one: Replayed) -> Any:
    request = typed_request(one)
    if one.case.task is Task.EMBEDDINGS:
        return await stub.Embed(request)
    name = "Chat" if one.case.task is Task.CHAT else "Complete"
    if not one.case.streamed:
        return await getattr(stub, name)(request)
    return accumulated(one.case, [chunk async for chunk in getattr(stub, f"Stream{name}")(request)])


async def test_recorded_failures_reach_both_kinds_of_callers_by_the_table_of_errors(provider: Provider) -> None:
    async with WorkerProcess(routes(provider)) as worker:
        rest_stub, stub = worker.rest(), worker.inference()

        async def check(one: Replayed) -> None:
            status, _, answer = await rest(rest_stub, one, rest_request(one))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await typed(stub, one)
            if one.case.status != 200:
                headers = {name: str(v) for name, v in one.case.recording["response"]["headers"].items()}
                kind = one.case.format.error(one.case.status, headers, one.case.body).kind
                assert (status, caught.value.code()) == (STATUS_ROWS[kind].http, STATUS_ROWS[kind].grpc)
            assert re.search(rb'"error": ?\{', answer)
            assert status != 200 or b"data: [DONE]" not in answer

        assert await each(FAILING, check) == {}, worker.log.read_text()


async def test_an_answer_that_breaks_off_is_a_failure_to_both_kinds_of_callers(provider: Provider) -> None:
    provider.script = cut
    async with WorkerProcess(routes(provider)) as worker:
        rest_stub, stub = worker.rest(), worker.inference()

        async def check(one: Replayed) -> None:
            status, _, answer = await rest(rest_stub, one, rest_request(one))
            assert (status == 200) <= one.case.streamed, answer
            assert b'"error"' in answer
            assert b"data: [DONE]" not in answer
            with pytest.raises(grpc.aio.AioRpcError):
                await typed(stub, one)

        assert await each(OK, check) == {}


def test_nearly_every_recording_can_be_replayed_and_every_format_is_among_them() -> None:
    assert len(REPLAYED) > 0.9 * len(cases())
    assert {one.case.row.provider.format for one in OK} == {case.row.provider.format for case in cases()}


async def test_an_answer_that_says_something_else_is_found(provider: Provider) -> None:
    """The same check, with another recording's answer behind the route."""
    one = next(
        one for one in OK if one.case.task is Task.CHAT and not one.case.streamed and one.wanted["choices"][0]["text"]
    )
    other = {"choices": [{**one.wanted["choices"][0], "text": "something else"}], "usage": one.wanted["usage"]}
    async with WorkerProcess(routes(provider)) as worker:
        answer = with_parsed_arguments(meaning_of(await typed(worker.inference(), one), one.wanted))
    with pytest.raises(AssertionError):
        agrees(answer, other)
