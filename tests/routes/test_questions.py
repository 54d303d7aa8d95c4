"""A worker asks its supervisor: what the caller hears when the answer is late, lost, or not wanted any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from adapters import GatewayError, Kind
from sidecar.control.channel import ChangeRequest, ChangeResult, Refusal, RemoveRoute, StatusRequest
from sidecar.worker.route_changes import Questions

REMOVAL = RemoveRoute("mine", ())


class Supervisor:
    """Takes questions and keeps them."""

    def __init__(self, *, gone: bool = False) -> None:
        self.requests: list[ChangeRequest | StatusRequest] = []
        self._gone = gone

    async def send(self, ask: ChangeRequest | StatusRequest) -> None:
        if self._gone:
            raise ConnectionResetError
        self.requests.append(ask)


async def _kind_of(asking: Awaitable[object]) -> Kind:
    with pytest.raises(GatewayError) as error:
        await asking
    return error.value.kind


async def test_answers_find_their_questions_in_any_order() -> None:
    supervisor = Supervisor()
    questions = Questions(supervisor.send)
    waiting = [asyncio.ensure_future(questions.ask(REMOVAL, "boss")) for _ in range(3)]
    await asyncio.sleep(0)
    for ask in reversed(supervisor.requests):
        refusal = Refusal(Kind.ROUTE_NOT_FOUND, f"number {ask.number}", "name")
        questions.answered(ChangeResult(ask.number, None if ask.number == 2 else refusal))
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(each) for each in done] == ["number 1", "None", "number 3"]


async def test_a_supervisor_that_is_slow_or_gone_leaves_the_change_unconfirmed() -> None:
    late = Questions(Supervisor().send, answer_timeout_s=0.01)
    assert await _kind_of(late.ask(REMOVAL, "boss")) is Kind.NOT_CONFIRMED
    gone = Questions(Supervisor(gone=True).send)
    assert await _kind_of(gone.ask(REMOVAL, "boss")) is Kind.NOT_CONFIRMED
    lost = Questions(Supervisor().send)
    waiting = asyncio.ensure_future(lost.ask(REMOVAL, "boss"))
    await asyncio.sleep(0)
    lost.lost()
    assert await _kind_of(waiting) is Kind.NOT_CONFIRMED


async def test_an_answer_that_nobody_waits_for_is_passed_over() -> None:
    supervisor = Supervisor()
    questions = Questions(supervisor.send)
    waiting = asyncio.ensure_future(questions.ask(REMOVAL, "boss"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    questions.answered(ChangeResult(supervisor.requests[0].number, None))
    questions.lost()


async def test_too_many_who_wait_are_told_to_come_back() -> None:
    supervisor = Supervisor()
    questions = Questions(supervisor.send)
    waiting = [asyncio.ensure_future(questions.ask(REMOVAL, "boss")) for _ in range(256)]
    await asyncio.sleep(0)
    assert await _kind_of(questions.ask(REMOVAL, "boss")) is Kind.OVERLOADED
    for ask in supervisor.requests:
        questions.answered(ChangeResult(ask.number, None))
    assert await asyncio.gather(*waiting) == [None] * 256
