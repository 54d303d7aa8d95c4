"""A thought of one provider, where callers of another format keep what they send back unchanged: a signature, encrypted content.

The envelope holds what the canonical thought has beyond its text. It is no secret and proves nothing; it only says whose the
thought is, so that it goes back to a provider that takes it, and never to one that checks what is its own.
"""

from __future__ import annotations

import base64
import binascii

from google.protobuf.message import DecodeError

from sidecar.v1 import inference_pb2 as pb

MARK = "sidecar-thought."
# Of a thought that nobody signed and no member names: OpenAI's format calls it so.
_NATIVE_NAME = "reasoning_content"


def enveloped(thought: pb.Thinking | pb.ThinkingDelta) -> str:
    """All but the text."""
    kept = pb.Thinking(native_name=thought.native_name or _NATIVE_NAME)
    for field in ("signature", "redacted", "format"):
        if thought.HasField(field):
            setattr(kept, field, getattr(thought, field))
    return MARK + base64.urlsafe_b64encode(kept.SerializeToString()).decode().rstrip("=")


def from_envelope(envelope: str, text: str) -> pb.Thinking:
    """The thought with that text. One that cannot be opened is nobody's: it is left out wherever it would go."""
    encoded = envelope.removeprefix(MARK)
    try:
        thought = pb.Thinking.FromString(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (binascii.Error, ValueError, DecodeError):
        thought = pb.Thinking(format="unreadable")
    thought.text = text
    return thought
