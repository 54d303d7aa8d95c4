"""One call of a client with its default settings, against a provider that always fails: at most three calls at the provider.

Client 3 x gateway 2 would be six. The gateway tells clients whether it has tried again itself.
"""

from __future__ import annotations

from collections.abc import Callable

import openai
import pytest

from tests.provider import Call, End, Provider, Reply, error_reply
from tests.stack.stack import Stack
from tests.stack.test_openai_sdk import HELLO, sdk

PROVIDER_CALLS_MAX = 3


def _status(status: int) -> Callable[[Call], Reply]:
    return lambda call: error_reply(call, status, "always")


FAILURES: dict[str, Callable[[Call], Reply]] = {
    **{str(status): _status(status) for status in (401, 404, 408, 429, 500, 503, 529)},
    "429, come back soon": lambda call: error_reply(call, 429, "always", headers=(("retry-after-ms", "10"),)),
    "no answer": lambda call: Reply(head=False, end=End.CUT),
    "reset": lambda call: Reply(head=False, end=End.RST),
    "html": lambda call: Reply(502, (("content-type", "text/html"),), (b"<html>",)),
    "nonsense": lambda call: Reply(parts=(b"nonsense",)),
    "half an answer": lambda call: Reply(parts=(b'{"id": "1",', b"2"), end=End.CUT),
}


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("failure", FAILURES)
def test_the_openai_sdk_with_its_default_retries(stack: Stack, simulator: Provider, failure: str, stream: bool) -> None:
    before = len(simulator.calls)
    simulator.script = FAILURES[failure]
    with sdk(stack) as client, pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="chat", messages=[HELLO], stream=stream)
    calls = len(simulator.calls) - before
    assert 1 <= calls <= PROVIDER_CALLS_MAX
    assert caught.value.response.headers.get("x-should-retry") == "false"
    print(f"\n{failure}: {caught.value.status_code} after {calls} provider calls")


def test_without_the_hint_the_sdk_does_multiply(stack: Stack, simulator: Provider) -> None:
    """Positive control: the same client at the provider itself asks three times."""
    simulator.script = FAILURES["503"]
    before = len(simulator.calls)
    with openai.OpenAI(base_url=simulator.base_url, api_key="sk-x") as client, pytest.raises(openai.APIStatusError):
        client.chat.completions.create(model="chat", messages=[HELLO])
    assert len(simulator.calls) - before == 3
