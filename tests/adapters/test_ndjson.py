"""Lines of JSON as a stream's framing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import GatewayError, Kind
from adapters.ndjson import Lines
from adapters.sse import EVENT_BYTES_MAX


def lines_of(pieces: list[bytes]) -> list[bytes]:
    lines = Lines()
    return [event.data for piece in pieces for event in lines.feed(piece)] + [event.data for event in lines.close()]


def test_lines_end_at_lf_and_only_there_blank_ones_are_nothing_and_the_last_needs_no_end() -> None:
    stream = '{"a":"x\u2028y"}\r\n\n  \n{"b":"\\n"}\n{"c":1}'.encode()
    assert lines_of([stream]) == ['{"a":"x\u2028y"}'.encode(), b'{"b":"\\n"}', b'{"c":1}']


@given(st.lists(st.sampled_from([b'{"a":1}', b"\n", b"\r\n", b" ", "ä".encode()]), max_size=30), st.data())
def test_cuts_change_nothing(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert lines_of(pieces) == lines_of([stream])


def test_a_line_without_end_is_an_error_before_it_fills_the_memory() -> None:
    lines, piece = Lines(), b"x" * (1024 * 1024)
    for _ in range(EVENT_BYTES_MAX // len(piece)):
        assert lines.feed(piece) == []
    with pytest.raises(GatewayError) as caught:
        lines.feed(piece)
    assert caught.value.kind is Kind.UPSTREAM_PROTOCOL
