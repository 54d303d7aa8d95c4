"""Represents reasoning of other providers as thinking blocks, and back.

Clients of this format send reasoning back unchanged, with its signature. A thought of another provider has no
signature for Anthropic, so it gets an envelope of ours (adapters/thought_envelope.py), which is never sent to
Anthropic.
"""

from __future__ import annotations

import msgspec

from adapters.json_object import MALFORMED
from adapters.thought_envelope import MARK, enveloped, from_envelope
from adapters.thoughts import CLAUDE, is_claudes
from sidecar.v1 import inference_pb2 as pb


def is_own(thought: pb.Thinking | pb.ThinkingDelta) -> bool:
    """Whether Anthropic signed or encrypted it, possibly through another provider."""
    return bool(thought.signature or thought.redacted) and thought.HasField("format") and is_claudes(thought.format)


def sealed(thought: pb.Thinking | pb.ThinkingDelta) -> str:
    """Returns the signature (or the data of a redacted block) of a thought: Anthropic's own, or the envelope."""
    if is_own(thought):
        return (thought.redacted or thought.signature).decode("utf-8", "replace")
    return enveloped(thought)


def opened_thought(text: str, seal: str, *, redacted: bool = False) -> pb.Thinking:
    """Returns the thought of a block. One whose envelope cannot be opened belongs to no provider, and is left out
    everywhere."""
    if seal.startswith(MARK):
        return from_envelope(seal, text)
    field = "redacted" if redacted else "signature"
    thought = pb.Thinking(text=text, format=CLAUDE)
    if seal:
        setattr(thought, field, seal.encode("utf-8", "replace"))
    return thought


_OBJECTS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_LEFT_OUT = "messages[].content[].thinking"


def without_foreign_thoughts(messages: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Returns `messages` of a body that passes through to Anthropic, without reasoning of other providers and
    without turns that consisted of nothing else. Other blocks keep their bytes. Malformed parts are left for the
    provider to refuse."""
    try:
        turns = [turn for turn in _OBJECTS.decode(messages) if _strip(turn)]
    except MALFORMED:
        return messages, ()
    return msgspec.json.encode(turns), (_LEFT_OUT,)


def _strip(turn: dict[str, msgspec.Raw]) -> bool:
    """Returns whether anything is left of the turn."""
    raw = bytes(turn.get("content", b""))
    if MARK.encode() not in raw or not raw.startswith(b"["):
        return True
    blocks = _OBJECTS.decode(raw)
    kept = [block for block in blocks if not _is_foreign(block)]
    if len(kept) < len(blocks):
        turn["content"] = msgspec.Raw(msgspec.json.encode(kept))
    return bool(kept)


def _is_foreign(block: dict[str, msgspec.Raw]) -> bool:
    return any(bytes(block.get(name, b"")).startswith(b'"' + MARK.encode()) for name in ("signature", "data"))
