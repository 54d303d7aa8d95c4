"""Arguments of calls in a history, for providers that take an object alone.

A model writes arguments that are none now and then: cut off by the limit, with a quote too much, a bare text. Agents answer such
a call with an error and send it back with every further turn. OpenAI takes any text there; others answer 400 to the whole
conversation from then on. What the model wrote goes to them as one member of an object, so that it can still see its mistake.
"""

from __future__ import annotations

from typing import Final

import msgspec

from adapters.json_object import MALFORMED, OBJECTS

# The Messages API's answers have it, too, where another provider's model made the mistake.
MEMBER: Final = "_malformed_arguments"
# As it is named where it is said that arguments do not go out as they came.
NAME: Final = "messages[].tool_calls[].function.arguments"


def as_object(arguments: str) -> tuple[str, bool]:
    """JSON text of one object, and whether it is what came. Some clients send "" for no arguments."""
    text = arguments.strip() or "{}"
    if is_object(text):
        return text, True
    return msgspec.json.encode({MEMBER: arguments}).decode(), False


def is_object(text: str) -> bool:
    try:
        OBJECTS.decode(text)
    except MALFORMED:
        return False
    return True
