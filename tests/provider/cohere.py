"""Default answers of Cohere's POST /v2/chat, from its documentation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.provider.record import Call
from tests.provider.reply import data, event

Body = Mapping[str, Any]


def is_cohere(call: Call) -> bool:
    return call.path.endswith("/v2/chat")


def cohere_error(call: Call, message: str) -> dict[str, Any]:
    """Returns Cohere's flat error body, which is the same for every status."""
    return {"id": f"cohere-sim{call.id}", "message": message}


def _usage(body: Body, tokens: int) -> dict[str, Any]:
    counts = {"input_tokens": len(json.dumps(body.get("messages") or "")) // 4, "output_tokens": tokens}
    return {"billed_units": counts, "tokens": counts}


def cohere_chat(body: Body, tokens: Sequence[str], call_id: int) -> dict[str, Any]:
    return {
        "id": f"cohere-sim{call_id}",
        "finish_reason": "COMPLETE",
        "message": {"role": "assistant", "content": [{"type": "text", "text": "".join(tokens)}]},
        "usage": _usage(body, len(tokens)),
    }


def cohere_events(body: Body, tokens: Sequence[str], call_id: int) -> list[bytes]:
    def with_delta(name: str, delta: dict[str, Any], **members: Any) -> bytes:
        return event(name, {"type": name, **members, "delta": delta})

    def content(**members: Any) -> dict[str, Any]:
        return {"message": {"content": members}}

    start = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    return [
        with_delta("message-start", {"message": start}, id=f"cohere-sim{call_id}"),
        with_delta("content-start", content(type="text", text=""), index=0),
        *(with_delta("content-delta", content(text=token), index=0) for token in tokens),
        event("content-end", {"type": "content-end", "index": 0}),
        with_delta("message-end", {"finish_reason": "COMPLETE", "usage": _usage(body, len(tokens))}),
        data("[DONE]"),
    ]


def cohere_error_event(call: Call, message: str, *, first: bool) -> bytes:
    """Returns the error body if it is the first event; later, the message-end event contains the error."""
    if first:
        return data(cohere_error(call, message))
    return event("message-end", {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": message}})
