"""Reasoning in the history (https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking).

The API verifies the signature of each thought that comes back, and accepts only its own, unchanged. While thinking
is on, a turn that called tools must have them. If a client has lost them, the call is sent without: only the API
knows whether the turn needed them, and its error reaches the caller.
"""

from __future__ import annotations

from typing import Any

from adapters.json_object import merge_extra
from adapters.thoughts import is_claudes
from sidecar.v1 import inference_pb2 as pb

_OWNED = frozenset({"type", "thinking", "signature", "data"})


def goes_back(thought: pb.Thinking) -> bool:
    """Whether this provider appears to have signed or encrypted it."""
    sealed = thought.redacted or thought.signature
    return bool(sealed) and is_claudes(thought.format) and _is_text(sealed)


def _is_text(sealed: bytes) -> bool:
    try:
        sealed.decode()
    except UnicodeDecodeError:
        return False
    return True


def thinking_block(part: pb.ContentPart, at: str) -> dict[str, Any]:
    """The block of a thought that is sent back, unchanged."""
    thought = part.thinking
    if thought.redacted:
        block: dict[str, Any] = {"type": "redacted_thinking", "data": thought.redacted.decode()}
    else:
        block = {"type": "thinking", "thinking": thought.text, "signature": thought.signature.decode()}
    merge_extra(block, thought.extra_json, f"{at}.thinking", _OWNED)
    return merge_extra(block, part.extra_json, at, _OWNED)
