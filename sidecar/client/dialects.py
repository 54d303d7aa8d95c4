"""MLflow's two ways of asking a route, for fluent.query.

    A (MLflow 2.5-2.8)   {"prompt" | "messages" | "text", "candidate_count", ...} -> {"candidates": [...], "metadata": {...}}
    B (2.9 and later)    {"prompt" | "messages" | "input", "n", ...}              -> OpenAI's shapes

A REST target answers both by itself. For a gRPC target the same is made here of the typed calls.
"""

from __future__ import annotations

from typing import Any

from sidecar.client.requests import Call
from sidecar.client.values import Json

# Members whose meaning or answer dialect A cannot say. A request with one of them is B's.
_ONLY_B = frozenset(
    ("input", "n", "encoding_format", "dimensions", "tools", "tool_choice", "parallel_tool_calls", "response_format")
    + ("modalities", "audio", "logprobs", "top_logprobs", "max_completion_tokens", "stream_options", "reasoning_effort")
    + ("echo", "suffix", "best_of")
)
_ONLY_A = frozenset({"text", "candidate_count"})
_RENAMED = {"candidate_count": "n", "text": "input"}
# Dialect A's temperature is 0 to 1 everywhere, stretched to the provider's own range.
_STRETCHED = {"openai": 2.0, "azure": 2.0, "azuread": 2.0, "azure-openai": 2.0, "cohere": 5.0}
_ASKED = (("messages", "Chat"), ("prompt", "Complete"), ("input", "Embed"))


def dialect_of(data: Json) -> str:
    """ "A" or "B"; what both would take is A's, whose path and samples these are. Raises ValueError for a mixture."""
    if data.get("stream"):
        raise ValueError("query answers whole; Client.stream_chat and stream_complete stream")
    a, b = sorted(_ONLY_A & data.keys()), sorted(_ONLY_B & data.keys())
    if a and b:
        raise ValueError(f"{', '.join(a)} is of MLflow 2.5-2.8, {', '.join(b)} of 2.9 and later: use the names of one")
    return "B" if b else "A"


def typed_call(route: str, data: Json, dialect: str, provider: str) -> Call:
    """The typed call that a query is. Raises ValueError for data that is none."""
    if "model" in data:
        raise ValueError("data names no model: the route has one")
    body = {_RENAMED.get(name, name): value for name, value in data.items() if name != "stream"}
    if dialect == "A" and isinstance(temperature := body.get("temperature"), int | float):
        if not 0 <= temperature <= 1:
            raise ValueError("temperature is 0 to 1")
        body["temperature"] = temperature * _STRETCHED.get(provider, 1.0)
    for member, name in _ASKED:
        if member in body:
            return Call(name, {"model": route, **body})
    raise ValueError("data holds messages, prompt, or text (input)")


def answer_in_a(call: Call, answer: Json) -> dict[str, Any]:
    """OpenAI's shape as dialect A's. Missing counts are None."""
    usage = answer.get("usage") or {}
    task = {"Chat": "chat", "Complete": "completions", "Embed": "embeddings"}[call.name]
    metadata = {
        "input_tokens": usage.get("prompt_tokens"),
        "output_tokens": usage.get("completion_tokens", 0 if call.name == "Embed" else None),
        "total_tokens": usage.get("total_tokens"),
        "model": answer.get("model"),
        "route_type": f"llm/v1/{task}",
    }
    if call.name == "Embed":
        return {"embeddings": [each["embedding"] for each in answer.get("data", [])], "metadata": metadata}
    return {"candidates": [_candidate(call, choice) for choice in answer.get("choices", [])], "metadata": metadata}


def _candidate(call: Call, choice: Json) -> dict[str, Any]:
    metadata = {"finish_reason": choice.get("finish_reason")}
    if call.name == "Complete":
        return {"text": choice.get("text"), "metadata": metadata}
    message = choice.get("message") or {}
    said = {"role": message.get("role"), "content": message.get("content")}
    return {"message": said, "metadata": metadata}
