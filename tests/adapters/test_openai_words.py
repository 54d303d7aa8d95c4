"""Translated answers keep to the words of OpenAI's schema, which strict clients check, and typed ones to the closed list."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion

from adapters import FORMATS, Context, Task
from sidecar.v1 import inference_pb2 as pb

CONTEXT = Context(0, lambda prefix: prefix + "1", "m")
OPENAI = FORMATS["openai"]


def written(answer: pb.ChatResponse) -> dict[str, Any]:
    encode = OPENAI.client[Task.CHAT].encode_response
    assert encode is not None
    body: dict[str, Any] = json.loads(encode(answer))
    ChatCompletion.model_validate(body, strict=False)
    return body


def of_claude(reason: str, **usage: Any) -> pb.ChatResponse:
    content = [{"type": "text", "text": "x"}]
    body = {"role": "assistant", "content": content, "stop_reason": reason, "usage": usage}
    answer: pb.ChatResponse = FORMATS["anthropic"].provider[Task.CHAT].decode(json.dumps(body).encode(), CONTEXT)
    return answer


@pytest.mark.parametrize(
    ("tier", "word"), [("standard", "default"), ("priority", "priority"), ("batch", None), ("new", None)]
)
def test_a_tier_is_in_openais_words_or_left_out(tier: str, word: str | None) -> None:
    answer = of_claude("end_turn", input_tokens=1, output_tokens=1, service_tier=tier)
    assert answer.service_tier == tier
    assert written(answer).get("service_tier") == word


@pytest.mark.parametrize(
    ("reason", "word", "native"),
    [("end_turn", "stop", None), ("tool_use", "tool_calls", None), ("pause_turn", "stop", "pause_turn")],
)
def test_a_finish_reason_is_openais_and_the_providers_is_beside_it(reason: str, word: str, native: str | None) -> None:
    choice = written(of_claude(reason))["choices"][0]
    assert (choice["finish_reason"], choice.get("native_finish_reason")) == (word, native)
    piece = pb.ChunkChoice(finish_reason=pb.FINISH_REASON_OTHER, native_finish_reason="TIMEOUT")
    encode = OPENAI.client[Task.CHAT].encode_chunk
    assert encode is not None
    (made,) = json.loads(encode(pb.StreamChatResponse(choices=[piece]), False)[6:])["choices"]
    assert (made["finish_reason"], made["native_finish_reason"]) == ("stop", "TIMEOUT")


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("model_length", pb.FINISH_REASON_LENGTH),
        ("MAX_TOKENS", pb.FINISH_REASON_LENGTH),
        ("eos_token", pb.FINISH_REASON_STOP),
        ("SAFETY", pb.FINISH_REASON_CONTENT_FILTER),
        ("tool_use", pb.FINISH_REASON_TOOL_CALLS),
        ("insufficient_system_resource", pb.FINISH_REASON_OTHER),
    ],
)
def test_the_words_of_servers_like_openais_are_in_the_closed_list(word: str, reason: pb.FinishReason) -> None:
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": word}]}
    choice = OPENAI.provider[Task.CHAT].decode(json.dumps(body).encode(), CONTEXT).choices[0]
    assert (choice.finish_reason, choice.native_finish_reason) == (reason, word)


def test_a_fingerprint_that_is_no_string_costs_nothing() -> None:
    body = {
        "system_fingerprint": 7,
        "service_tier": {"name": "a"},
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}],
    }
    answer = OPENAI.provider[Task.CHAT].decode(json.dumps(body).encode(), CONTEXT)
    assert json.loads(answer.extra_json) == {"system_fingerprint": 7, "service_tier": {"name": "a"}}


def test_embeddings_have_total_tokens() -> None:
    body = {"id": "e", "embeddings": {"float": [[0.5]]}, "meta": {"billed_units": {"input_tokens": 3}}}
    answer = FORMATS["cohere"].provider[Task.EMBEDDINGS].decode(json.dumps(body).encode(), CONTEXT)
    encode = OPENAI.client[Task.EMBEDDINGS].encode_response
    assert encode is not None
    made = json.loads(encode(answer))
    CreateEmbeddingResponse.model_validate(made)
    assert made["usage"]["total_tokens"] == 3
