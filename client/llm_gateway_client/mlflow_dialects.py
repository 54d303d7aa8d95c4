"""MLflow's two ways of asking a route, for fluent.query.

A (MLflow 2.5-2.8)   {"prompt" | "messages" | "text", "candidate_count", ...} -> {"candidates": [...], "metadata": {...}}
B (2.9 and later)    {"prompt" | "messages" | "input", "n", ...}              -> OpenAI's shapes
"""

from __future__ import annotations

from llm_gateway_client.values import Json

# Members whose meaning or answer dialect A cannot say. A request with one of them is B's.
_ONLY_B = frozenset(
    ("input", "n", "encoding_format", "dimensions", "tools", "tool_choice", "parallel_tool_calls", "response_format")
    + ("modalities", "audio", "logprobs", "top_logprobs", "max_completion_tokens", "stream_options", "reasoning_effort")
    + ("echo", "suffix", "best_of")
)
_ONLY_A = frozenset({"text", "candidate_count"})


def dialect_of(data: Json) -> str:
    """ "A" or "B"; what both would take is A's, whose path and samples these are. Raises ValueError for a mixture."""
    if data.get("stream"):
        raise ValueError("query answers whole; Client.stream_chat and stream_complete stream")
    a, b = sorted(_ONLY_A & data.keys()), sorted(_ONLY_B & data.keys())
    if a and b:
        raise ValueError(f"{', '.join(a)} is of MLflow 2.5-2.8, {', '.join(b)} of 2.9 and later: use the names of one")
    return "B" if b else "A"
