"""Two turns with tools and signed thoughts, as OpenAI's own SDK makes them: the message of the answer is appended as it came."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.provider import Provider
from tests.provider.claude import TURN, thinks_first
from tests.stack.stack import Stack, config_for
from tests.stack.test_openai_sdk import sdk

pytestmark = pytest.mark.slow
FUNCTION = {"name": "find", "parameters": {"type": "object", "properties": {"q": {"type": "integer"}}}}
BODY: dict[str, Any] = {
    "model": "claude",
    "max_tokens": 4096,
    "tools": [{"type": "function", "function": FUNCTION}],
    "extra_body": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
}


@pytest.fixture(scope="module", params=["nginx", "envoy"])
def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, simulator: Provider
) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("thinking"), config_for(simulator), workers=1, front=request.param) as running:
        yield running


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("dumped", [False, True], ids=["as it came", "dumped with every null"])
def test_the_second_turn_has_claudes_own_blocks(
    gateway: Stack, simulator: Provider, stream: bool, dumped: bool
) -> None:
    simulator.script = thinks_first
    messages: list[Any] = [{"role": "user", "content": "hi"}]
    with sdk(gateway) as client:

        def ask() -> Any:
            if not stream:
                return client.chat.completions.create(messages=messages, **BODY)
            with client.chat.completions.stream(messages=messages, **BODY) as events:
                return events.until_done().get_final_completion()

        message = ask().choices[0].message
        messages.append(message.model_dump() if dumped else message)
        messages += [{"role": "tool", "tool_call_id": call.id, "content": "42"} for call in message.tool_calls]
        assert ask().choices[0].message.content == "42"
    assert simulator.calls[-1].json["messages"][1] == {"role": "assistant", "content": TURN}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_what_was_left_out_stands_in_a_header(gateway: Stack, simulator: Provider, stream: bool) -> None:
    simulator.script = thinks_first
    echo = {"role": "assistant", "content": "x", "reasoning_content": "hm"}
    user = {"role": "user", "content": "hi"}
    body = {"model": "claude", "max_tokens": 9, "messages": [user, echo, user], "stream": stream}
    with gateway.http() as http:
        answer = http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200
    assert answer.headers["x-sidecar-left-out"] == "messages[].reasoning_content"
