"""Carries a thought of one provider in a member that callers of another format send back unchanged: a signature,
encrypted content.

The envelope contains what the canonical thought has in addition to its text. It is not secret and proves nothing; it
only identifies the origin, so that the thought goes back to a provider that accepts it, and never to one that
verifies its own.
"""

from __future__ import annotations

import base64
import binascii

from google.protobuf.message import DecodeError

from sidecar.v1 import inference_pb2 as pb

MARK = "sidecar-thought."
# For a thought without signature or member name: the name in OpenAI's format.
_NATIVE_NAME = "reasoning_content"


def enveloped(thought: pb.Thinking | pb.ThinkingDelta) -> str:
    """Everything but the text."""
    kept = pb.Thinking(native_name=thought.native_name or _NATIVE_NAME)
    for field in ("signature", "redacted", "format"):
        if thought.HasField(field):
            setattr(kept, field, getattr(thought, field))
    return MARK + base64.urlsafe_b64encode(kept.SerializeToString()).decode().rstrip("=")


def from_envelope(envelope: str, text: str) -> pb.Thinking:
    """The thought with that text. One whose envelope cannot be opened belongs to no provider, and is left out
    everywhere."""
    encoded = envelope.removeprefix(MARK)
    try:
        thought = pb.Thinking.FromString(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (binascii.Error, ValueError, DecodeError):
        thought = pb.Thinking(format="unreadable")
    thought.text = text
    return thought
