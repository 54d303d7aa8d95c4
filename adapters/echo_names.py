"""The names of echoes (`echoes`), a closed list in terms of OpenAI's format, used in headers and as metric labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from adapters.thoughts import CARRIERS

TEXTS = ("reasoning_content", "reasoning")
NESTED = "provider_specific_fields"
# Members of an assistant message, of its calls and of their functions; kinds of content parts.
_MESSAGE = (
    *(*TEXTS, *CARRIERS, NESTED),
    *("annotations", "audio", "citations", "content_block_deltas", "content_blocks", "context", "executed_tools"),
    *("channel", "estimated_tokens", "extra_content", "images", "parsed", "provider_metadata", "service_tier"),
    *("thought_signature", "token_id"),
)
_CALL = ("caller", "extra_content", "index", "thought_signature", NESTED)
_FUNCTION = ("parsed_arguments", NESTED)
_PARTS = ("thinking", "redacted_thinking", "reasoning")


def _names(place: str, members: Iterable[str]) -> frozenset[str]:
    return frozenset(place + name for name in members)


MESSAGE = _names("messages[].", _MESSAGE)
CALL = _names("messages[].tool_calls[].", _CALL)
FUNCTION = _names("messages[].tool_calls[].function.", _FUNCTION)
PARTS = _names("messages[].content[].", _PARTS)
ECHOES = MESSAGE | CALL | FUNCTION | PARTS
# Members of an answer that are not known, in these places. Their own names are not used, since they may be any text.
OTHER = "messages[].other"
OTHER_IN_CALL = "messages[].tool_calls[].other"


@dataclass(frozen=True, slots=True)
class Known:
    """The members that a strict provider accepts in an assistant turn, in its calls and in their functions; any
    other one is an echo of another provider's answer."""

    message: frozenset[str]
    call: frozenset[str] = frozenset()
    function: frozenset[str] = frozenset()
