"""Encodes answers in dialect A: `candidates` and `metadata`. Numbers that a provider does not give are null."""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from adapters.contract import Task
from adapters.openai import finish_word, write_answer_message
from sidecar.v1 import inference_pb2 as pb


def encode_chat(answer: pb.ChatResponse) -> bytes:
    candidates = [
        {"message": _message(choice.message), "metadata": {"finish_reason": finish_word(choice)}}
        for choice in answer.choices
    ]
    return _written("candidates", candidates, answer, Task.CHAT)


def _message(message: pb.Message) -> dict[str, Any]:
    """The content is always a string, which clients of this dialect expect. What the dialect does not define (a
    refusal, tool calls) is added as further members."""
    written = {name: value for name, value in write_answer_message(message).items() if value is not None}
    return {**written, "content": written.get("content", "")}


def encode_completion(answer: pb.CompleteResponse) -> bytes:
    candidates = []
    for choice in answer.choices:
        word = finish_word(choice)
        candidates.append({"text": choice.text, "metadata": {} if word is None else {"finish_reason": word}})
    return _written("candidates", candidates, answer, Task.COMPLETIONS)


def encode_embeddings(answer: pb.EmbedResponse) -> bytes:
    vectors = [_numbers(each) for each in sorted(answer.embeddings, key=lambda each: each.index)]
    return _written("embeddings", vectors, answer, Task.EMBEDDINGS)


def _numbers(each: pb.Embedding) -> list[float]:
    """Always numbers: this dialect has no base64, whatever `encoding_format` the caller requested from the
    provider."""
    if each.WhichOneof("vector") == "packed":
        return list(struct.unpack(f"<{len(each.packed) // 4}f", each.packed[: len(each.packed) // 4 * 4]))
    return list(each.values.values)


def _written(name: str, what: list[Any], answer: Any, task: Task) -> bytes:
    usage = answer.usage
    counts: dict[str, int | None] = {
        field: getattr(usage, field) if usage.HasField(field) else None
        for field in ("input_tokens", "output_tokens", "total_tokens")
    }
    if task is Task.EMBEDDINGS and counts["input_tokens"] is not None:
        counts["output_tokens"] = counts["output_tokens"] or 0  # a vector has no output tokens
    metadata = {**counts, "model": answer.model, "route_type": f"llm/v1/{task}"}
    return msgspec.json.encode({name: what, "metadata": metadata})
