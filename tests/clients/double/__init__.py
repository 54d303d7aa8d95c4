"""A provider on loopback that behaves like OpenAI and like Claude where clients notice: it calls a tool before it answers,
thinks where thinking is on, keeps to a schema, streams, and refuses what the real API refuses.

    with Provider(script=reply) as provider: ...
"""

from __future__ import annotations

from tests.clients.double import anthropic_side, openai_side
from tests.clients.double.model import ANSWER, TEMPERATURE
from tests.provider import Call, Reply

__all__ = ["ANSWER", "TEMPERATURE", "reply"]


def reply(call: Call) -> Reply | None:
    """The script of the provider. Embeddings are its own default."""
    if call.path.endswith("/messages"):
        return anthropic_side.reply(call)
    if call.path.endswith("/chat/completions"):
        return openai_side.reply(call)
    return None
