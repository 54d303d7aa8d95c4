"""A model's reasoning as entries of `reasoning_details`, OpenRouter's convention, in which it is sent back to the
provider."""

from __future__ import annotations

import json
from typing import Any

from llm_gateway_client.openai_messages import THOUGHTS
from llm_gateway_client.v1 import inference_pb2 as pb

DETAILS = "reasoning_details"
# Names of reasoning entries that are parts of `content` at their provider (Mistral, Databricks), where they are sent back.
_PARTS = frozenset({"thinking", "summary"})


def message_details(message: pb.Message) -> list[dict[str, Any]]:
    """Reasoning of a whole answer. Empty if it came in a member of OpenAI's format."""
    thoughts = [part.thinking for part in message.content if part.WhichOneof("part") == "thinking"]
    detailed = [thought for thought in thoughts if _has_details(thought)]
    return [_whole(thought, index) for index, thought in enumerate(detailed)]


def delta_details(delta: pb.Delta) -> list[dict[str, Any]]:
    """Reasoning of a streamed piece: pieces with the same `index` are to be concatenated."""
    if not delta.HasField("thinking") or not _has_details(delta.thinking):
        return []
    return [_entry(delta.thinking, delta.thinking.index)]


def kept_details(extra_json: str) -> list[dict[str, Any]]:
    """Those of a provider that uses the convention itself: they are further members of its answer."""
    if DETAILS not in extra_json:
        return []
    entries = json.loads(extra_json).get(DETAILS)
    return [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []


def _has_details(thinking: pb.Thinking | pb.ThinkingDelta) -> bool:
    return thinking.native_name not in THOUGHTS and thinking.native_name not in _PARTS


def _whole(thought: pb.Thinking, index: int) -> dict[str, Any]:
    out = _entry(thought, index)
    if out["type"] == "reasoning.text":
        out.setdefault("text", "")
    return {**json.loads(thought.extra_json), **out} if thought.extra_json else out


def _entry(thought: pb.Thinking | pb.ThinkingDelta, index: int) -> dict[str, Any]:
    encrypted = thought.HasField("redacted")
    out: dict[str, Any] = {"type": "reasoning.encrypted" if encrypted else "reasoning.text"}
    if thought.text:
        out["text"] = thought.text
    if thought.HasField("signature"):
        out["signature"] = thought.signature.decode("utf-8", "replace")
    if encrypted:
        out["data"] = thought.redacted.decode("utf-8", "replace")
    if thought.HasField("format"):
        out["format"] = thought.format
    return {**out, "index": index}
