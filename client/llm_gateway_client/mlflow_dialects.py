"""MLflow's two dialects for querying a route, used by fluent.query.

    A (MLflow 2.5-2.8)   {"prompt" | "messages" | "text", "candidate_count", ...} -> {"candidates": [...], "metadata": {...}}
    B (2.9 and later)    {"prompt" | "messages" | "input", "n", ...}              -> OpenAI's format

Over REST, the gateway reads and writes them. The typed gRPC services do not know them, so for those they are
translated here, with the gateway's own tables (gateway_tables.py).
"""

from __future__ import annotations

import struct
from base64 import b64decode
from typing import Any

from llm_gateway_client.errors import SidecarError, of_kind
from llm_gateway_client.gateway_tables import MEMBERS, TEMPERATURE_MAX, Rule
from llm_gateway_client.values import Json, Route

# Members that dialect A cannot express. A request with one of them is B's.
_ONLY_B = frozenset(
    ("input", "n", "encoding_format", "dimensions", "tools", "tool_choice", "parallel_tool_calls", "response_format")
    + ("modalities", "audio", "logprobs", "top_logprobs", "max_completion_tokens", "stream_options", "reasoning_effort")
    + ("echo", "suffix", "best_of")
)
_ONLY_A = frozenset({"text", "candidate_count"})
# A's names -> OpenAI's.
_NAMES = {"candidate_count": "n", "text": "input"}
# In the words of MLflow's own servers.
_NO_MODEL = (
    "The parameter 'model' is not permitted to be passed. The route being queried already defines a model instance."
)


def dialect_of(data: Json) -> str:
    """ "A" or "B"; what is valid in both counts as A. Raises ValueError for a mixture."""
    if data.get("stream"):
        raise ValueError("query does not stream: use stream_chat or stream_complete of a Client.")
    a, b = sorted(_ONLY_A & data.keys()), sorted(_ONLY_B & data.keys())
    if a and b:
        raise ValueError(f"{', '.join(a)} is of MLflow 2.5-2.8, {', '.join(b)} of 2.9 and later: use the names of one.")
    return "B" if b else "A"


def openai_body(data: Json, dialect: str, route: Route) -> dict[str, Any]:
    """The body in OpenAI's format, with dialect A's temperature scaled to the route's provider. Raises
    InvalidRequest."""
    for name, rule in MEMBERS[dialect][route.task].items():
        _check(data, name, rule)
    if data.get("model") is not None:
        raise of_kind("unsupported_parameter", _NO_MODEL, param="model")
    body = {name: value for name, value in data.items() if name not in ("model", "stream")}
    if dialect == "A":
        body = {_NAMES.get(name, name): value for name, value in body.items()}
        if body.get("temperature") is not None:
            body["temperature"] *= TEMPERATURE_MAX.get(route.model.provider, 1.0)
    return {"model": route.name, **body}


def _check(data: Json, name: str, rule: Rule) -> None:
    value = data.get(name)
    if value is None:
        if rule.required:
            raise _violation(name, "Field required")
        return
    if rule.least is None and rule.most is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _violation(name, "Input should be a valid number")
    if rule.least is not None and value < rule.least:
        raise _violation(name, f"Input should be greater than or equal to {rule.least:g}")
    if rule.most is not None and value > rule.most:
        raise _violation(name, f"Input should be less than or equal to {rule.most:g}")


def _violation(name: str, text: str) -> SidecarError:
    return of_kind("invalid_request", f"{name}: {text}", param=name)


def answer_a(answer: Json, task: str) -> dict[str, Any]:
    """Converts an answer of OpenAI's format to dialect A. Counts that the provider did not give are None."""
    usage = answer.get("usage") or {}
    metadata = {
        "input_tokens": usage.get("prompt_tokens"),
        "output_tokens": usage.get("completion_tokens"),
        "total_tokens": usage.get("total_tokens"),
        "model": answer.get("model", ""),
        "route_type": f"llm/v1/{task}",
    }
    if task == "embeddings":
        if metadata["input_tokens"] is not None:
            metadata["output_tokens"] = metadata["output_tokens"] or 0  # a vector has no output tokens
        rows = sorted(answer["data"], key=lambda row: row["index"])
        return {"embeddings": [_numbers(row["embedding"]) for row in rows], "metadata": metadata}
    candidate = _chat_candidate if task == "chat" else _text_candidate
    return {"candidates": [candidate(choice) for choice in answer["choices"]], "metadata": metadata}


def _chat_candidate(choice: Json) -> dict[str, Any]:
    """The content is always a string, which clients of this dialect expect."""
    message = {name: value for name, value in choice["message"].items() if value is not None}
    message["content"] = message.get("content", "")
    return {"message": message, "metadata": {"finish_reason": choice["finish_reason"]}}


def _text_candidate(choice: Json) -> dict[str, Any]:
    word = choice["finish_reason"]
    return {"text": choice["text"], "metadata": {} if word is None else {"finish_reason": word}}


def _numbers(vector: Any) -> list[float]:
    """This dialect has no base64."""
    if not isinstance(vector, str):
        return list(vector)
    data = b64decode(vector)
    return list(struct.unpack(f"<{len(data) // 4}f", data[: len(data) // 4 * 4]))
