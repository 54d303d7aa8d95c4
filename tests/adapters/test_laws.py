"""Laws over every recording; the oracle is not the code under test (tests/oracles)."""

from __future__ import annotations

import json
import struct

import msgspec
import pytest

from adapters import GatewayError, Kind, Task
from adapters._chunks import accumulate_chat, accumulate_completion
from tests.adapters.laws import CONTEXT, Case, cases, chunks_of, said

ALL = cases()
OK = [case for case in ALL if case.answered]
STREAMS = [case for case in OK if case.streamed]
WHOLE = [case for case in OK if not case.streamed]
CUT_BYTES = 997  # a prime: the cuts fall anywhere in an event


def name(case: Case) -> str:
    return case.path.stem


def accumulated(case: Case) -> object:
    chunks = chunks_of(case, [case.recording["response"]["sse"].encode()])
    return said((accumulate_chat if case.task is Task.CHAT else accumulate_completion)(chunks))


@pytest.mark.parametrize("case", WHOLE, ids=name)
def test_a_whole_answer_says_what_its_oracle_says(case: Case) -> None:
    got = said(case.format.provider[case.task].decode(case.body, CONTEXT))
    if case.task is Task.EMBEDDINGS:
        got["vectors"] = [
            list(struct.unpack(f"<{len(v) // 4}f", v)) if isinstance(v, bytes) else v for v in got["vectors"]
        ]
    assert got == case.row.oracle.answer(case.recording)


@pytest.mark.parametrize("case", STREAMS, ids=name)
def test_a_stream_adds_up_to_what_its_oracle_says(case: Case) -> None:
    assert accumulated(case) == case.row.oracle.answer(case.recording)


@pytest.mark.parametrize("case", STREAMS, ids=name)
def test_cutting_the_bytes_anywhere_changes_no_chunk(case: Case) -> None:
    sse = case.recording["response"]["sse"].encode()
    size = 1 if len(sse) < 20_000 else CUT_BYTES
    assert chunks_of(case, [sse[i : i + size] for i in range(0, len(sse), size)]) == chunks_of(case, [sse])


@pytest.mark.parametrize("case", STREAMS, ids=name)
def test_a_stream_that_breaks_off_is_an_error(case: Case) -> None:
    events = case.recording["response"]["sse"].encode().split(b"data: [DONE]")[0].split(b"\n\n")
    for count in {0, 1, len(events) // 2, len(events) - 1}:
        with pytest.raises(GatewayError) as caught:
            chunks_of(case, [b"\n\n".join(events[:count]) + b"\n\n"])
        assert caught.value.kind is Kind.UPSTREAM_PROTOCOL


@pytest.mark.parametrize("case", [case for case in ALL if not case.answered], ids=name)
def test_a_recorded_failure_keeps_its_status_and_message(case: Case) -> None:
    response = case.recording["response"]
    failure = case.format.error(response["status"], response["headers"], case.body)
    assert failure.status == response["status"]
    assert failure.message


@pytest.mark.parametrize("case", ALL, ids=name)
def test_the_same_format_way_keeps_the_bytes_of_every_member_but_two(case: Case) -> None:
    body = json.dumps(case.recording["request"]["body"], indent=1).encode()
    patch = case.format.provider[case.task].patch
    assert patch is not None
    envelope = case.format.client[case.task].open(body)
    sent = msgspec.json.decode(patch(envelope, case.target).body, type=dict[str, msgspec.Raw])
    kept = {key: bytes(raw) for key, raw in sent.items() if key not in ("model", "stream_options")}
    assert kept == {key: raw for key, raw in envelope.members.items() if key not in ("model", "stream_options")}
