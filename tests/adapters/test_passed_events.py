"""The end of a stream whose bytes were the provider's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import FORMATS, Context, Envelope, GatewayError, Kind, Task
from tests.provider.claude import events_of
from tests.provider.openai_responses import MESSAGE, events
from tests.provider.reply import event

ERROR = GatewayError(Kind.UPSTREAM_INTERRUPTED, "The provider broke off.", code="upstream_interrupted")


def _passing(name: str) -> Any:
    passing = FORMATS[name].client[Task.CHAT].passing
    assert passing is not None
    return passing(Envelope({}, "route", stream=True, include_usage=True), Context(7, lambda prefix: f"{prefix}new"))


def _read(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in data.decode().splitlines() if line.startswith("data: ")]


@pytest.mark.parametrize("pieces", range(1, 8))
def test_a_response_fails_under_its_own_id_with_the_next_number(pieces: int) -> None:
    sent = events(MESSAGE)[:pieces]
    for parts in (sent, [b"".join(sent)], [part.replace(b"\n", b"\r\n") for part in sent]):
        passing = _passing("responses")
        for part in parts:
            passing.passed(part)
        (failed,) = _read(passing.failed(ERROR, "req"))
        assert (failed["type"], failed["sequence_number"]) == ("response.failed", pieces)
        assert (failed["response"]["id"], failed["response"]["status"]) == ("resp_1", "failed")
        assert failed["response"]["error"] == {"code": "upstream_interrupted", "message": "The provider broke off."}


@pytest.mark.parametrize("piece", [b"", b": keep-alive\n\n", b"data: nonsense\n\n", b'data: {"response": 1}\n\n'])
def test_a_response_that_has_not_begun_begins_and_fails(piece: bytes) -> None:
    passing = _passing("responses")
    passing.passed(piece)
    read = _read(passing.failed(ERROR, "req"))
    assert [each["type"] for each in read] == ["response.created", "response.in_progress", "response.failed"]
    assert {each["response"]["id"] for each in read} == {"resp_new"}


def test_a_message_gets_the_end_that_its_provider_left_out() -> None:
    whole = [event(each["type"], each) for each in events_of([{"type": "text", "text": "message_stop"}], "end_turn")]
    for parts in (whole, [b"".join(whole)], [b"".join(whole).replace(b"\n", b"\r\n")]):
        passing = _passing("anthropic")
        for part in parts:
            passing.passed(part)
        assert passing.end() == b""
    for parts in (whole[:-1], [b"".join(whole[:-1])], [*whole[:-1], b": a comment\n\n"]):
        passing = _passing("anthropic")
        for part in parts:
            passing.passed(part)
        assert _read(passing.end()) == [{"type": "message_stop"}]
    assert _read(passing.failed(ERROR, "req"))[0]["type"] == "error"
