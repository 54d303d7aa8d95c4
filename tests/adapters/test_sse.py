"""Bytes to server-sent events: any cuts, any line ends, any size up to the limit."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import GatewayError, Kind
from adapters.sse import EVENT_BYTES_MAX, Event, Parser

LINE_ENDS = (b"\n", b"\r", b"\r\n")


def events_of(*pieces: bytes) -> list[Event]:
    parser = Parser()
    found = [event for piece in pieces for event in parser.feed(piece)]
    return found + parser.close()


def joined(events: list[Event]) -> list[Event]:
    """Comments and empty lines that follow each other as one: how many events they are depends on the cuts."""
    found: list[Event] = []
    for event in events:
        if found and _is_silent(event) and _is_silent(found[-1]):
            event = Event("", b"", found.pop().raw + event.raw)
        found.append(event)
    return found


def _is_silent(event: Event) -> bool:
    return not event.data and not event.name


def data_of(*pieces: bytes) -> list[bytes]:
    return [event.data for event in events_of(*pieces) if event.data]


def test_an_event_has_its_name_its_joined_data_and_its_bytes() -> None:
    raw = b"event: ping\nid: 7\ndata: a\ndata:b\ndata:  c\n: comment\n\n"
    assert events_of(raw) == [Event("ping", b"a\nb\n c", raw)]


def test_lines_end_at_cr_lf_or_both_and_at_nothing_else() -> None:
    separators = "\u2028\u2029\u0085\x0b\x0c\x1c\x1d\x1e".encode()
    for end in LINE_ENDS:
        assert data_of(b"data: x" + separators + b"y" + end + b"data: z" + end + end) == [b"x" + separators + b"y\nz"]


def test_mixed_line_ends_end_events_too() -> None:
    assert data_of(b"data: 1\r\n\ndata: 2\n\r\ndata: 3\r\r\ndata: 4\n\rdata: 5\r\n\r\n") == [
        b"1",
        b"2",
        b"3",
        b"4",
        b"5",
    ]


def test_a_byte_order_mark_is_skipped_at_the_start_only() -> None:
    mark = "\ufeff".encode()
    assert data_of(mark[:1], mark[1:] + b"data: a\n\n" + b"data: " + mark + b"\n\n") == [b"a", mark]


def test_comments_blank_lines_and_unknown_fields_are_no_data() -> None:
    assert data_of(b": keep-alive\n\n\n\nretry: 5\n\nerror: {}\n\ndata\n\ndata:\n\n") == []


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n \n", b"  "])
def test_a_last_event_without_its_blank_line_counts_and_passes_whole(end: bytes) -> None:
    parser = Parser()
    assert parser.feed(b"data: a" + end) == []
    (event,) = parser.close()
    assert (event.data, event.raw) == (b"a", b"data: a\n\n")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"object":"chat.completion","choices":[]}', "JSON where a stream of events"),
        (b'\n [{"error":{"message":"Too many calls."}}]', ": Too many calls."),
        (b"<!doctype html>\n\n<title>Sign in</title>\n\n", "a page of HTML where a stream of events"),
    ],
)
def test_what_is_no_stream_of_events_is_named(body: bytes, words: str) -> None:
    for pieces in ([body], [body[i : i + 1] for i in range(len(body))]):
        with pytest.raises(GatewayError) as caught:
            events_of(*pieces)
        assert caught.value.kind is Kind.UPSTREAM_PROTOCOL
        assert words in caught.value.message


def test_half_a_character_waits_for_its_other_half() -> None:
    first, second = b'data: {"a":"x\\ud83d"}\n\n', b'data: {"a":"\\ude00y"}\n\n'
    assert data_of(first, b": ping\n\n", second) == [b'{"a":"x"}', b'{"a":"\\ud83d\\ude00y"}']


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (rb'{"a":"\ud83d!"}', rb'{"a":"\ufffd!"}'),
        (rb'{"a":"!\uDE00"}', rb'{"a":"!\ufffd"}'),
        (rb'{"a":"\ude00"}', rb'{"a":"\ufffd"}'),
        (rb'{"a":"\ud83d\ude00"}', rb'{"a":"\ud83d\ude00"}'),
        (rb'{"a":"\\ud83d"}', rb'{"a":"\\ud83d"}'),
        (rb'{"a":"\\\ud83d."}', rb'{"a":"\\\ufffd."}'),
    ],
)
def test_half_a_character_alone_is_unknown_and_the_rest_keeps_its_bytes(data: bytes, read: bytes) -> None:
    (event,) = Parser().feed(b"data: " + data + b"\n\n")
    assert (event.data, event.raw) == (read, b"data: " + data + b"\n\n")


def test_an_event_comes_out_with_its_last_byte_not_with_the_next_event() -> None:
    for raw in (b"data: a\n\n", b"data: a\r\n\r\n", b": x\n\n"):
        parser = Parser()
        assert parser.feed(raw[:-1]) == []
        assert len(parser.feed(raw[-1:])) == 1
        assert parser.close() == []


def test_a_stream_that_ends_in_two_carriage_returns_keeps_its_last_event() -> None:
    assert data_of(b"data: a\r\r") == [b"a"]


lines = st.sampled_from(
    [b"data: ", b"data:x", b"data: \xe2\x80\xa8", b"event: e", b":c", b"", b"data: \r", b"\xef\xbb\xbf"]
)
streams = st.lists(st.tuples(lines, st.sampled_from(LINE_ENDS)), max_size=14).map(
    lambda all_: b"".join(map(b"".join, all_))
)


@given(streams, st.data())
def test_cutting_the_bytes_anywhere_changes_nothing(stream: bytes, draw: st.DataObject) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = joined(events_of(stream))
    assert joined(events_of(*pieces)) == whole
    assert joined(events_of(*(bytes([byte]) for byte in stream))) == whole
    raw = b"".join(event.raw for event in whole)
    assert stream.removeprefix(b"\xef\xbb\xbf").startswith(raw[:-4])  # the last may have got its blank line


@pytest.mark.parametrize("end", LINE_ENDS)
def test_comments_that_come_together_are_one_event_and_keep_their_bytes(end: bytes) -> None:
    flood = (b": x" + end + end) * 1000 + end * 3
    events = events_of(b"data: a" + end + end + flood + b"data: b" + end + end)
    assert len(events) < 6
    assert [event.data for event in events if event.data] == [b"a", b"b"]
    raw = b"".join(event.raw for event in events)
    assert raw.startswith(b"data: a" + end + end + flood + b"data: b")


def test_an_event_above_the_limit_is_refused_in_any_cuts() -> None:
    too_long = b"data: " + b"x" * EVENT_BYTES_MAX + b"\n\n"
    for size in (len(too_long), 1 << 20):
        with pytest.raises(GatewayError) as caught:
            events_of(*(too_long[i : i + size] for i in range(0, len(too_long), size)))
        assert caught.value.kind is Kind.UPSTREAM_PROTOCOL
    fits = b"data: " + b"x" * (EVENT_BYTES_MAX - 8) + b"\n\n"
    assert len(events_of(fits)) == 1


@pytest.mark.parametrize(
    "filler",
    [b"x", b"\r\nx", b"\nx", b":\n", b":\r:\n", b"\n", b" \n"],
    ids=["plain", "CR LF", "LF", "comments", "CR comments", "empty lines", "blanks"],
)
def test_a_large_event_in_small_pieces_takes_linear_time(filler: bytes) -> None:
    def cost_s(megabytes: int) -> float:
        body = filler * ((megabytes << 20) // len(filler))
        pieces = [body[i : i + 1024] for i in range(0, len(body), 1024)]
        best = float("inf")
        for _ in range(3):
            parser = Parser()
            began = time.thread_time()
            for piece in pieces:
                parser.feed(piece)
            best = min(best, time.thread_time() - began)
        return best

    assert cost_s(4) < 10 * cost_s(1)  # quadratic would be 16


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b'{"error":{"message":"Slow down.","code":429}}', Kind.RATE_LIMITED, "Slow down."),
        (b'{"error":{"message":"No such key.","code":"401"}}', Kind.UPSTREAM_REJECTED_CREDENTIALS, "No such key."),
        (
            b'{"error":{"message":"This model\'s maximum context length is 4096 tokens."}}',
            Kind.CONTEXT_LENGTH_EXCEEDED,
            "This model's maximum context length is 4096 tokens.",
        ),
        (b'{"error":{"message":"Later.","code":"rate_limit_exceeded"}}', Kind.RATE_LIMITED, "Later."),
        (
            b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
            Kind.UPSTREAM_UNAVAILABLE,
            "Overloaded",
        ),
        (b'{"error":{"message":"It broke."}}', Kind.UPSTREAM_PROTOCOL, "The provider answered with JSON"),
    ],
)
def test_an_error_body_in_place_of_a_stream_is_of_its_own_kind(body: bytes, kind: Kind, message: str) -> None:
    parser = Parser()
    parser.feed(body)
    with pytest.raises(GatewayError) as caught:
        parser.close()
    assert caught.value.kind is kind
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize("stream", [b"data: \r\r:c\n\n\n", b":\r\r\r\n\n:c\n", b"data\n\n\n:c\n\n\ndata: x\n\n"])
def test_an_odd_number_of_empty_lines_is_the_same_event_wherever_the_bytes_are_cut(stream: bytes) -> None:
    whole = joined(events_of(stream))
    for cut in range(len(stream)):
        assert joined(events_of(stream[:cut], stream[cut:])) == whole
