"""Arguments of calls in a history, for providers that only accept objects.

Models sometimes write invalid arguments: cut off by the limit, with an extra quote, a bare text. Agents answer such
a call with an error and send it back with every further turn. OpenAI accepts any text there; others answer 400 to
the whole conversation from then on. They get the model's text as the member of an object, so that the model can
still see its mistake.
"""

from __future__ import annotations

from typing import Final

import msgspec

from adapters.json_object import MALFORMED, OBJECTS

# Also used in answers of the Messages API if another provider's model made the mistake.
MEMBER: Final = "_malformed_arguments"
# The name under which changed arguments are reported.
NAME: Final = "messages[].tool_calls[].function.arguments"


def as_object(arguments: str) -> tuple[str, bool]:
    """Returns the JSON text of one object, and whether it is unchanged. Some clients send "" for no arguments."""
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
