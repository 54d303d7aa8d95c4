"""The names of echoes (`echoes`), a closed list in the words of OpenAI's format: they are header words and metric labels."""

from __future__ import annotations

from collections.abc import Iterable

from adapters.thoughts import CARRIERS

TEXTS = ("reasoning_content", "reasoning")
NESTED = "provider_specific_fields"
# Members of an assistant's message, of its calls, of their functions; kinds of content parts.
_MESSAGE = (
    *(*TEXTS, *CARRIERS, NESTED),
    *("annotations", "audio", "citations", "content_block_deltas", "content_blocks", "context", "executed_tools"),
    *("images", "parsed", "service_tier"),
)
_CALL = ("extra_content", "index", NESTED)
_FUNCTION = ("parsed_arguments", NESTED)
_PARTS = ("thinking", "redacted_thinking", "reasoning")


def _names(place: str, members: Iterable[str]) -> frozenset[str]:
    return frozenset(place + name for name in members)


MESSAGE = _names("messages[].", _MESSAGE)
CALL = _names("messages[].tool_calls[].", _CALL)
FUNCTION = _names("messages[].tool_calls[].function.", _FUNCTION)
PARTS = _names("messages[].content[].", _PARTS)
ECHOES = MESSAGE | CALL | FUNCTION | PARTS
