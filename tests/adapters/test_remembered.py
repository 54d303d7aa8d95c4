"""What is remembered of answers, and how a request that goes on from one is written out in full."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest

from adapters import Envelope, GatewayError, Kind
from adapters.responses import remembered
from adapters.responses.remembered import Ids, Record

FIRST, SECOND = Ids("1" * 32), Ids("2" * 32)


def envelope(**members: Any) -> Envelope:
    return Envelope({name: json.dumps(value).encode() for name, value in members.items()}, "m", False, True)


def message(id_: str, text: str) -> dict[str, Any]:
    return {"id": id_, "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def record(ids: Ids, request: Envelope, text: str, before: tuple[str, ...] = ()) -> Record:
    """Of an answer with one message, through what is on the disk."""
    needs = remembered.read_needs(request, ids)
    response = msgspec.Raw(json.dumps({"id": ids.response, "output": [message(ids("msg_"), text)]}).encode())
    return remembered.read_record(remembered.written(Record(response, needs.items, before)))


def full(request: Envelope, records: dict[str, Record]) -> Any:
    needs = remembered.read_needs(request, Ids("3" * 32))
    assert remembered.missing(needs, records) == set()
    remembered.require(needs, records, "an hour")
    return json.loads(remembered.expanded(request, needs, records)["input"])


def test_a_conversation_is_put_together_from_its_answers() -> None:
    records = {
        FIRST.response: record(FIRST, envelope(input="one"), "1"),
        SECOND.response: record(SECOND, envelope(input=[{"role": "user", "content": "two"}]), "2", (FIRST.response,)),
    }
    items = full(envelope(input="three", previous_response_id=SECOND.response), records)
    texts = [item["content"] if isinstance(item["content"], str) else item["content"][0]["text"] for item in items]
    assert texts == ["one", "1", "two", "2", "three"]
    assert not any("id" in item for item in items)


def test_a_thought_that_is_not_there_any_more_is_left_to_the_reader_and_another_item_is_refused() -> None:
    request = envelope(input=[{"type": "item_reference", "id": f"rs_sc{'9' * 32}0001"}])
    needs = remembered.read_needs(request, FIRST)
    assert remembered.missing(needs, {}) == {f"resp_sc{'9' * 32}"}
    remembered.require(needs, {}, "an hour")
    with pytest.raises(GatewayError, match="There is no item") as refused:
        remembered.require(
            remembered.read_needs(envelope(input=[{"id": f"msg_sc{'9' * 32}0001"}]), FIRST), {}, "an hour"
        )
    assert (refused.value.param, refused.value.code) == ("input[0]", "item_not_found")


def test_references_that_stand_for_more_than_anybody_may_send_are_refused_at_once() -> None:
    """A request of 1 MB would be one of 20 GB."""
    made = {FIRST.response: record(FIRST, envelope(input="x"), "y" * 1_000_000)}
    (item,) = made[FIRST.response].output
    reference = {"type": "item_reference", "id": json.loads(bytes(item["id"]))}
    request = envelope(input=[reference] * 20_000)
    began = time.process_time()
    with pytest.raises(GatewayError, match="more than") as refused:
        full(request, made)
    assert refused.value.kind is Kind.REQUEST_TOO_LARGE
    assert time.process_time() - began < 10  # 0.1 s; each read by itself, minutes


@pytest.mark.parametrize("raw", ["1", "{}", "null", '"', "[1]", '[{"id":1}]', '["x"]'])
def test_what_is_malformed_is_left_to_who_reads_the_request(raw: str) -> None:
    request = Envelope({"input": raw.encode(), "previous_response_id": b"7"}, "m", False, True)
    needs = remembered.read_needs(request, FIRST)
    assert needs.previous == ""
    assert remembered.expanded(request, needs, {}) == request.members


def test_ids_are_told_from_those_of_providers() -> None:
    assert remembered.is_response_id(FIRST.response)
    for other in ("resp_1", "resp_" + "0" * 48, f"resp_sc{'0' * 31}", f"resp_sc{'0' * 32}1", "msg_sc" + "0" * 32):
        assert not remembered.is_response_id(other)
    made = [FIRST("msg_") for _ in range(70_000)]
    assert len(set(made)) == len(made)
