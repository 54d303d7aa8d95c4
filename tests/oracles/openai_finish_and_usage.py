"""Small things of OpenAI's answers: usage, vectors, finish reasons, content. Nothing of the code under test."""

import base64
import json
import struct
from typing import Any

KNOWN = ("stop", "length", "tool_calls", "content_filter", "function_call")
COUNTS = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens", "total_tokens": "total_tokens"}


def usage(body: dict[str, Any]) -> dict[str, int]:
    counts = body.get("usage") or {}
    given = {ours: counts[theirs] for ours, theirs in COUNTS.items() if counts.get(theirs) is not None}
    if len(given) == len(COUNTS):  # xAI and Gemini count thoughts beside the answer, and in the total
        given["output_tokens"] = max(given["output_tokens"], given["total_tokens"] - given["input_tokens"])
    return given


def vector(value: Any) -> list[float]:
    if isinstance(value, list):
        return value
    data = base64.b64decode(value)
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def word(given: str | None) -> str:
    given = {"eos": "stop"}.get(given or "", given)  # Together's
    return "" if not given else given if given in KNOWN else "other"


def text(content: Any) -> str:
    """Mistral's content is a list of parts at times, Cloudflare's the JSON object that a schema asked for."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part["type"] == "text")
    return json.dumps(content, ensure_ascii=False) if isinstance(content, dict) else content or ""
