"""Handles reasoning that a client has lost in the middle of a tool loop.

With `thinking: {"type": "enabled"}` the turn that the API continues must start with a thought: "Expected `thinking`
or `redacted_thinking`, but found `tool_use`"
(https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking#toggling-thinking-modes-in-conversations).
Most clients of OpenAI's format do not keep signatures, and could not use tools at all. The API documents that such a
conversation continues without thinking for that request, so `thinking` is left out here, and reported. Adaptive
thinking has no such rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from adapters.thoughts import opened

# A turn starting with one of these has no thought before its calls. It may start with other blocks (a provider's own
# tool).
_WITHOUT = ("text", "tool_use")


def is_manual(thinking: msgspec.Raw) -> bool:
    """Whether the member enables thinking in the mode that has the rule."""
    return bytes(opened(thinking).get("type", b"")) == b'"enabled"'


def thoughts_are_lost(turns: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the turn that the last message continues called tools without a thought. `turns` are those of the
    request."""
    start = None
    for turn in reversed(turns):
        if turn["role"] == "assistant":
            start = turn
        elif "tool_result" not in _kinds(turn):
            break
    if start is None or turns[-1]["role"] == "assistant":
        return False
    kinds = _kinds(start)
    return "tool_use" in kinds and kinds[0] in _WITHOUT


def _kinds(turn: Mapping[str, Any]) -> list[str]:
    content = turn["content"]
    return ["text"] if isinstance(content, str) else [_kind(block) for block in content]


def _kind(block: Any) -> str:
    """Blocks of the provider's own tools are kept as the caller wrote them, and not parsed."""
    return str(block["type"]) if isinstance(block, Mapping) else ""
