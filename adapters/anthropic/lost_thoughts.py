"""Thoughts that a client has lost in the middle of a loop of tools.

With `thinking: {"type": "enabled"}` the API wants the turn that it goes on with to start with a thought: "Expected `thinking` or
`redacted_thinking`, but found `tool_use`"
(https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking#toggling-thinking-modes-in-conversations). Most clients of
OpenAI's format keep no signatures, and could call no tools at all. What the API documents for such a conversation is that it goes
on without thinking for that request; here `thinking` is left out, and said. Adaptive thinking has no such rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from adapters.thoughts import opened

# A turn that starts with one of these has no thought before its calls. Other blocks (a tool of the provider's own) may.
_WITHOUT = ("text", "tool_use")


def is_manual(thinking: msgspec.Raw) -> bool:
    """Whether the member asks for thinking in the mode that has the rule."""
    return bytes(opened(thinking).get("type", b"")) == b'"enabled"'


def thoughts_are_lost(turns: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the turn that the last message goes on with called tools without a thought. `turns` are those of a request."""
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
    """Blocks of the provider's own come as the caller wrote them, and are not read."""
    return str(block["type"]) if isinstance(block, Mapping) else ""
