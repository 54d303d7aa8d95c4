"""A UTF-8 byte order mark before a text is ignored: Windows editors and some servers put one there."""

from __future__ import annotations

import pytest

from adapters import BYTE_ORDER_MARK, FORMATS, Task
from adapters.mlflow_client import members_of
from adapters.ndjson import Lines

BODY = b'{"model": "chat", "messages": [{"role": "user", "content": "\xc3\xa9"}]}'


def test_before_a_callers_body() -> None:
    side = FORMATS["openai"].client[Task.CHAT]
    assert side.open(BYTE_ORDER_MARK + BODY) == side.open(BODY)
    assert members_of(BYTE_ORDER_MARK + BODY) == members_of(BODY)


@pytest.mark.parametrize("cut", [0, 1, 3, 5])
def test_before_a_stream_of_lines(cut: int) -> None:
    data, lines = BYTE_ORDER_MARK + b'{"a": 1}\n{"b": 2}\n', Lines()
    events = [*lines.feed(data[:cut]), *lines.feed(data[cut:]), *lines.close()]
    assert [event.data for event in events] == [b'{"a": 1}', b'{"b": 2}']
