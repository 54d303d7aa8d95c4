"""Canonical answers in the oracles' words, and chunks from a stream's bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from typing import Any

from adapters import Decoder, Task
from adapters.chunks import accumulate_chat, accumulate_completion
from sidecar.v1 import inference_pb2 as pb
from tests.adapters.laws import CONTEXT, Case

_COUNTS = ("input_tokens", "output_tokens", "total_tokens")


def chunks_of(case: Case, pieces: Iterable[bytes], decoder: Decoder | None = None) -> list[Any]:
    """Raises GatewayError as the decoder does."""
    if decoder is None:
        assert case.side.stream is not None
        decoder = case.side.stream(case.target, CONTEXT)
    parser = case.side.framing()
    out: list[Any] = []
    for piece in pieces:
        for event in parser.feed(piece):
            out += decoder.feed(event)
    for event in parser.close():
        out += decoder.feed(event)
    return out + decoder.close()


def accumulated(case: Case, chunks: list[Any]) -> Any:
    return (accumulate_chat if case.task is Task.CHAT else accumulate_completion)(chunks)


def meaning_of(answer: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    """In the words of the oracle's `wanted`: a count it does not know is only checked to be no invention of input or output."""
    counts = {name: getattr(answer.usage, name) for name in wanted["usage"]}
    counts |= {n: getattr(answer.usage, n) for n in _COUNTS[:2] if answer.usage.HasField(n) and n not in counts}
    if isinstance(answer, pb.EmbedResponse):
        rows = sorted(answer.embeddings, key=lambda each: each.index)
        return {"vectors": [list(each.values.values) or _unpacked(each.packed) for each in rows], "usage": counts}
    return {"choices": [_choice(choice) for choice in answer.choices], "usage": counts}


def _unpacked(packed: bytes) -> list[float]:
    return list(struct.unpack(f"<{len(packed) // 4}f", packed))


def _choice(choice: Any) -> dict[str, Any]:
    word = pb.FinishReason.Name(choice.finish_reason).removeprefix("FINISH_REASON_").lower().replace("unspecified", "")
    if isinstance(choice, pb.CompletionChoice):
        return {"text": choice.text, "tool_calls": [], "finish_reason": word}
    text = "".join(part.text for part in choice.message.content)
    calls = [(call.name, call.custom_input or call.arguments_json) for call in choice.message.tool_calls]
    return {"text": text, "tool_calls": calls, "finish_reason": word}


def with_parsed_arguments(answer: dict[str, Any]) -> dict[str, Any]:
    """Anthropic's input is an object, so spacing says nothing; after "length" it may be half of one, compared as text."""
    for choice in answer.get("choices", ()):
        if choice["finish_reason"] != "length":
            choice["tool_calls"] = [(name, json.loads(text or "{}")) for name, text in choice["tool_calls"]]
    return answer
