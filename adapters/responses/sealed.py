"""Reasoning in `encrypted_content`, which clients of this format keep and send back unchanged.

OpenAI's own is opaque, and only OpenAI can read it. For any other thought it is an envelope of ours
(adapters/thought_envelope.py), which is never sent to OpenAI.
"""

from __future__ import annotations

import msgspec

from adapters.json_object import MALFORMED
from adapters.thought_envelope import MARK, enveloped, from_envelope
from sidecar.v1 import inference_pb2 as pb

# The origin of OpenAI's own content, in OpenRouter's terms.
OPENAI = "openai-responses-v1"
_ITEMS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_LEFT_OUT = "input[].reasoning"
_OURS = b'"' + MARK.encode()


def sealed(thought: pb.Thinking | pb.ThinkingDelta) -> str:
    """OpenAI's own content, or the envelope."""
    if thought.redacted and thought.HasField("format") and thought.format == OPENAI:
        return thought.redacted.decode("utf-8", "replace")
    return enveloped(thought)


def opened(text: str, content: str | None) -> pb.Thinking:
    """The thought of a reasoning item. One without content belongs to no provider, and is left out everywhere."""
    if not content:
        return pb.Thinking(text=text, native_name="summary")
    if content.startswith(MARK):
        return from_envelope(content, text)
    return pb.Thinking(text=text, redacted=content.encode("utf-8", "replace"), format=OPENAI)


def without_foreign_thoughts(items: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Returns `input` of a body that passes through to OpenAI, without reasoning of other providers; other items
    keep their bytes. Malformed parts are left for the provider to refuse."""
    if _OURS not in items or not items.startswith(b"["):
        return items, ()
    try:
        found = _ITEMS.decode(items)
    except MALFORMED:
        return items, ()
    kept = [item for item in found if not bytes(item.get("encrypted_content", b"")).startswith(_OURS)]
    return msgspec.json.encode(kept), (_LEFT_OUT,)
