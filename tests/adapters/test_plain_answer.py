"""The short way to read a chat answer says what the long way says, or nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from adapters import Context, GatewayError
from adapters.openai.chat_answer import any_answer
from adapters.openai.plain_answer import plain_answer

CHANCE = random.Random(12)
CONTEXT = Context(1_700_000_000, lambda prefix: f"{prefix}new", "asked-for")
ODD: list[Callable[[], Any]] = [
    lambda: None,
    lambda: 0,
    lambda: -1,
    lambda: 1.0,
    lambda: 2**40,
    lambda: True,
    lambda: "",
    lambda: "7",
    lambda: "\ud83d",
    list,
    dict,
    lambda: ["x"],
    lambda: {"message": "no"},
]


def whole() -> dict[str, Any]:
    """As OpenAI answers."""
    message: dict[str, Any] = {"role": "assistant", "content": "Größe \u2713 42", "refusal": None, "annotations": []}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_741_569_952,
        "model": "gpt-4.1-2025-04-14",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 19,
            "completion_tokens": 10,
            "total_tokens": 29,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": None,
    }


def places(answer: dict[str, Any]) -> list[dict[str, Any]]:
    choice = answer["choices"][0]
    return [answer, choice, choice["message"], answer["usage"]]


def changed(answer: dict[str, Any]) -> dict[str, Any]:
    """With one or two members gone, odd, or new."""
    for _ in range(CHANCE.randrange(1, 3)):
        place = CHANCE.choice(places(answer))
        names = [name for name in place if name not in ("choices", "message", "usage")]
        match CHANCE.randrange(3):
            case 0 if names:
                del place[CHANCE.choice(names)]
            case 1 if names:
                place[CHANCE.choice(names)] = CHANCE.choice(ODD)()
            case _:
                new = CHANCE.choice(
                    ["error", "reasoning", "tool_calls", "logprobs", "index", "x", "service_tier", "name"]
                )
                place[new] = CHANCE.choice(ODD)()
    return answer


def test_openais_own_answer_goes_the_short_way() -> None:
    for ascii_only in (True, False):
        body = json.dumps(whole(), ensure_ascii=ascii_only).encode()
        assert plain_answer(body) == any_answer(body, CONTEXT)
        assert plain_answer(body) is not None


def test_what_the_short_way_reads_the_long_way_reads_alike() -> None:
    short = 0
    for _ in range(10_000):
        body = json.dumps(changed(whole())).encode()
        plain = plain_answer(body)
        if plain is not None:
            short += 1
            assert plain == any_answer(body, CONTEXT), body
    assert short > 1_000


def test_broken_bodies_are_left_to_the_long_way() -> None:
    body = json.dumps(whole()).encode()
    for cut in range(0, len(body), 7):
        assert plain_answer(body[:cut]) is None
    latin = body.replace(b"chat.completion", b"chat.completi\xf6n")
    assert plain_answer(latin) is None
    try:
        any_answer(latin, CONTEXT)
    except GatewayError as error:
        assert "UTF-8" in error.message
