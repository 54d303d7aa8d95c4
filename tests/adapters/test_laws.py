"""Laws over every recording; the oracle is not the code under test (tests/oracles)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from adapters import FORMATS, GatewayError, Kind
from adapters.chunks import has_output
from adapters.sse import Parser
from tests.adapters.laws import CONTEXT, EXCLUDED, OWN, ROWS, Case, cases, events_of
from tests.adapters.meaning import accumulated, chunks_of, meaning_of, with_parsed_arguments
from tests.shared import shared

ALL = cases()
OK = [case for case in ALL if case.status == 200 and not case.failed]
STREAMS = [case for case in OK if case.streamed]
WHOLE = [case for case in OK if not case.streamed]
BROKEN = [case for case in ALL if case.failed]
SHORT_BYTES = 12_000
CUT_BYTES = 997  # a prime: the cuts fall anywhere in an event
PREFIXES_MAX = 12


def name(case: Case) -> str:
    return f"{case.path.parent.name}-{case.path.stem}"


def compared(case: Case, answer: dict[str, Any]) -> dict[str, Any]:
    return with_parsed_arguments(answer) if case.row.provider.format == "anthropic" else answer


def test_the_large_set_of_recordings_is_here() -> None:
    folders = {folder for row in ROWS if row.shared for folder in row.folders}
    assert folders <= {path.name for path in (shared() / "recordings").iterdir()}


def test_every_format_has_fixtures_of_our_own_that_say_so() -> None:
    first = {row.provider.format: row for row in reversed(ROWS)}
    assert first.keys() == {name for name, format_ in FORMATS.items() if format_.provider}
    for row in first.values():
        files = list((OWN / row.folders[0]).glob("*.json"))
        assert len(files) >= 5
        assert all("by us" in path.read_text().split("\n", 2)[0] for path in files)


def test_few_recordings_are_excluded() -> None:
    assert len(EXCLUDED) <= 10


@pytest.mark.parametrize("case", WHOLE, ids=name)
def test_a_whole_answer_says_what_its_oracle_says(case: Case) -> None:
    wanted = case.row.oracle.answer(case.recording)
    assert compared(case, meaning_of(case.side.decode(case.body, CONTEXT), wanted)) == compared(case, wanted)


@pytest.mark.parametrize("case", [case for case in WHOLE if case.side.check], ids=name)
def test_a_body_that_passes_unchanged_is_checked_and_gives_the_same_usage(case: Case) -> None:
    assert case.side.check is not None
    decoded = case.side.decode(case.body, CONTEXT)
    assert case.side.check(case.body) == (decoded.usage if decoded.HasField("usage") else None)
    for broken in (case.body + b"{}", case.body[:-1], b"[" + case.body + b"]", b"{}"):
        with pytest.raises(GatewayError) as caught:
            case.side.check(broken)
        assert caught.value.kind is Kind.UPSTREAM_PROTOCOL


@pytest.mark.parametrize("case", STREAMS, ids=name)
def test_a_stream_adds_up_to_what_its_oracle_says(case: Case) -> None:
    wanted = case.row.oracle.answer(case.recording)
    answer = accumulated(case, chunks_of(case, [case.sse]))
    assert compared(case, meaning_of(answer, wanted)) == compared(case, wanted)


def test_an_answer_that_lost_a_piece_does_not_pass_that_law() -> None:
    (case,) = (one for one in STREAMS if one.path.stem == "chat__stream__text")
    lost = b"".join(event for event in events_of(case.sse) if "Grüß".encode() not in event)
    assert lost != case.sse
    wanted = case.row.oracle.answer(case.recording)
    assert meaning_of(accumulated(case, chunks_of(case, [lost])), wanted) != wanted


@pytest.mark.parametrize("case", STREAMS, ids=name)
def test_chunks_keep_one_head_and_each_choice_finishes_once(case: Case) -> None:
    chunks = chunks_of(case, [case.sse])
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert chunks[0].id
    finished = [choice.index for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert len(finished) == len(set(finished))


@pytest.mark.parametrize("case", STREAMS, ids=name)
def test_cutting_the_bytes_anywhere_changes_no_chunk(case: Case) -> None:
    size = 1 if len(case.sse) < SHORT_BYTES else CUT_BYTES
    pieces = [case.sse[i : i + size] for i in range(0, len(case.sse), size)]
    assert chunks_of(case, pieces) == chunks_of(case, [case.sse])


def prefixes(case: Case) -> Iterator[bytes]:
    """Beginnings of the stream that end between events, before its end: the end marker, or the first finish reason where
    that ends it."""
    events = events_of(case.sse)
    finish = {"openai": b'"finish_reason":"', "anthropic": b'"stop_reason":"', "cohere": b"message-end"}
    marker = b"message_stop" if case.target.stream_end == "done" else finish.get(case.format.name, b"message_stop")
    marker = b"stream-end" if case.sse.startswith(b"{") else marker
    end = next(
        (i for i, one in enumerate(events) if b"data: [DONE]" in one or marker in one.replace(b": ", b":")), len(events)
    )
    for count in sorted({*range(0, end, max(1, end // PREFIXES_MAX)), max(0, end - 1)}):
        yield b"".join(events[:count])


@pytest.mark.parametrize("case", STREAMS, ids=name)
def test_a_stream_that_breaks_off_is_an_error(case: Case) -> None:
    tried = 0
    for prefix in prefixes(case):
        for half_an_event in (b"", b'data: {"id":'):
            with pytest.raises(GatewayError) as caught:
                chunks_of(case, [prefix + half_an_event])
            assert caught.value.kind is Kind.UPSTREAM_PROTOCOL
            tried += 1
    assert tried


@pytest.mark.parametrize("case", [case for case in OK + BROKEN if case.streamed and case.side.observe], ids=name)
def test_the_observer_of_a_passing_stream_sees_what_the_full_decoder_sees(case: Case) -> None:
    assert case.side.observe is not None
    assert case.side.stream is not None
    assert watched(case, case.side.observe(case.target, CONTEXT)) == watched(
        case, case.side.stream(case.target, CONTEXT)
    )


def watched(case: Case, decoder: Any) -> list[Any]:
    """What the gateway uses of each event on the pass-through path."""
    seen: list[Any] = []
    output = False
    try:
        for event in Parser().feed(case.sse):
            for chunk in decoder.feed(event):
                output = output or has_output(chunk)
                if chunk.HasField("usage"):
                    seen.append((event.raw, chunk.usage.SerializeToString(), bool(chunk.choices)))
            seen.append((output, decoder.done))
        decoder.close()
    except GatewayError as error:
        seen.append((error.kind, error.message))
    return [*seen, decoder.done]


@pytest.mark.parametrize("case", BROKEN, ids=name)
def test_an_error_inside_an_answer_of_200_is_an_error(case: Case) -> None:
    with pytest.raises(GatewayError) as caught:
        chunks_of(case, [case.sse]) if case.streamed else case.side.decode(case.body, CONTEXT)
    assert caught.value.message
    if not case.streamed and case.side.check:
        with pytest.raises(GatewayError):
            case.side.check(case.body)


@pytest.mark.parametrize("case", [case for case in ALL if case.status != 200], ids=name)
def test_a_recorded_failure_keeps_its_status_and_message_and_half_of_it_raises_nothing(case: Case) -> None:
    headers, body = case.recording["response"]["headers"], case.body
    failure = case.format.error(case.status, headers, body)
    assert failure.status == case.status
    assert failure.message.encode() not in (b"", f"The provider answered HTTP {case.status}.".encode())
    for end in range(0, len(body), max(1, len(body) // 50)):
        assert case.format.error(case.status, headers, body[:end]).message
        assert case.format.error(case.status, headers, body[:end] + b"\xff" + body[end + 1 :]).message
