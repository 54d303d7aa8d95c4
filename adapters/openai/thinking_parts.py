"""Reasoning as parts of a list in `content`, as Mistral (first) and Databricks (second) send it:

    {"type": "thinking", "thinking": [{"type": "text", "text": "..."}], "closed": true}
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "...", "signature": "..."}]}

Other providers have a separate member.
"""

from __future__ import annotations

from typing import Any

from adapters.json_object import Obj, merge_extra
from sidecar.v1 import inference_pb2 as pb

# A part's type -> the member with its pieces, and their type. The member's name is Thinking.native_name.
_KINDS = {"thinking": ("thinking", "text"), "reasoning": ("summary", "summary_text")}
_TYPES = {member: (kind, piece) for kind, (member, piece) in _KINDS.items()}


# Members in which providers of this format put reasoning; the first one found is used.
THINKING_NAMES = ("reasoning_content", "reasoning")


def is_part(thinking: pb.Thinking) -> bool:
    """Whether it belongs into `content` rather than into a separate member."""
    return thinking.native_name in _TYPES


def part_kind(thinking: pb.Thinking) -> str:
    """The type of such a part."""
    return _TYPES[thinking.native_name][0]


def read_thought(kind: str, obj: Obj) -> pb.Thinking | None:
    """Reads a part of an answer, after its type; None if it is not a thought, or has more than text and a
    signature."""
    if kind not in _KINDS:
        return None
    member, piece_type = _KINDS[kind]
    raw = bytes(obj.members.get(member, b""))
    if not raw.startswith(b"["):
        return None
    found = pb.Thinking(native_name=member)
    texts: list[str] = []  # joined at the end, because a message's field is copied whenever it is extended
    for piece in Obj(b'{"pieces":' + raw + b"}", obj.path, obj.refusal).objects("pieces"):
        if piece.string("type") != piece_type:
            return None
        texts.append(piece.string("text") or "")
        if (signature := piece.string("signature")) is not None:
            found.signature = signature.encode()
        if piece.members:
            return None
    found.text = "".join(texts)
    del obj.members[member]
    if (extra := obj.extra()) is not None:
        found.extra_json = extra
    return found


def write_thought(thinking: pb.Thinking, path: str) -> dict[str, Any]:
    """Encodes the part again."""
    kind, piece_type = _TYPES[thinking.native_name]
    piece = {"type": piece_type, "text": thinking.text}
    if thinking.HasField("signature"):
        piece["signature"] = thinking.signature.decode("utf-8", "replace")
    return merge_extra({"type": kind, thinking.native_name: [piece]}, thinking.extra_json, path, frozenset())
