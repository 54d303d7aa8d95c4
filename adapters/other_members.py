"""What an answer of chat completions says that the items and blocks of other formats have no place for: `citations`,
`annotations`, blocks of a provider's own tools. It is kept next to them, under its own name, so that nothing is lost silently."""

from __future__ import annotations

import msgspec

from adapters.openai import write_answer_message
from sidecar.v1 import inference_pb2 as pb

# Members of a message of chat completions that items and blocks say.
_EXPRESSED = frozenset(
    {"role", "content", "refusal", "tool_calls", "reasoning", "reasoning_content", "reasoning_details"}
)


def other_members(message: pb.Message, *expressed: str) -> str:
    """The text of an object, "" for none. `expressed`: further members that the format has a place for."""
    members = write_answer_message(message)
    rest = {
        name: value
        for name, value in members.items()
        if name not in _EXPRESSED and name not in expressed and value is not None
    }
    return msgspec.json.encode(rest).decode() if rest else ""
