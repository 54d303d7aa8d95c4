"""What ends a provider's stream, as a route says: its marker alone, finished choices, or the end of the body."""

from __future__ import annotations

from typing import Any

import pytest

from tests.config.loading import loaded, problems
from tests.provider import Provider, data, sse_reply
from tests.worker.running import WorkerProcess
from tests.worker.test_rest import post

CONFIG = """\
routes:
  - name: chat
    route_type: llm/v1/chat
    model: {provider: openai-compatible, name: m, config: {base_url: "%s"}}
    stream_end: %s
"""


def chunk(**choice: Any) -> bytes:
    return data({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


WORD = chunk(index=0, delta={"role": "assistant", "content": "word"}, finish_reason=None)
FINISH = chunk(index=0, delta={}, finish_reason="stop")


@pytest.mark.parametrize(
    ("stream_end", "events", "whole"),
    [
        ("done", [WORD, FINISH], False),
        ("finish", [WORD, FINISH], True),
        ("finish", [WORD], False),
        ("close", [WORD], True),
    ],
)
async def test_a_route_says_what_ends_its_streams(
    provider: Provider, stream_end: str, events: list[bytes], whole: bool
) -> None:
    provider.script = lambda _: sse_reply(events)
    body = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    async with WorkerProcess(loaded(CONFIG % (provider.base_url, stream_end))) as worker:
        answer = await post(worker, "ChatCompletions", body)
    assert answer.status == 200
    assert answer.body.endswith(b"data: [DONE]\n\n") is whole
    assert (b'"error"' in answer.body) is not whole


def test_another_word_is_refused_with_the_choices() -> None:
    (found,) = problems(CONFIG % ("http://127.0.0.1:1/v1", "finsh"))
    assert "routes[0].stream_end" in found
    assert "finish" in found
