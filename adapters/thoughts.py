"""Reasoning as members of a message in OpenAI's format, which does not define any. Clients send back what they
received:

    reasoning_details  [{"type": "reasoning.text", "text", "signature", "format", "index"},              OpenRouter's convention
                        {"type": "reasoning.encrypted", "data", ...}, {"type": "reasoning.summary", "summary", ...}]
    thinking_blocks    [{"type": "thinking", "thinking", "signature"},                                    LiteLLM's, which are
                        {"type": "redacted_thinking", "data"}]                                            Anthropic's own blocks
    content            the same blocks among the parts; Mistral's and Databricks' parts (openai/thinking_parts.py)

(https://openrouter.ai/docs/guides/best-practices/reasoning-tokens, https://docs.litellm.ai/docs/reasoning_content)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from adapters.json_object import ARRAYS, MALFORMED, OBJECTS, STRINGS, beneath, object_text
from sidecar.v1 import inference_pb2 as pb

DETAILS = "reasoning_details"
BLOCKS = "thinking_blocks"
# LiteLLM's SDK keeps members that OpenAI's message lacks in a separate object.
_NESTED = "provider_specific_fields"
CARRIERS = (DETAILS, BLOCKS)
CLAUDE = "anthropic-claude-v1"
# A thought that this code cannot read: it belongs to no provider, and is sent to none.
_UNREADABLE = "unreadable"
_DETAIL = frozenset({"type", "text", "signature", "data", "format", "index", "id", "summary"})
_BLOCK = frozenset({"type", "thinking", "signature", "data"})
_BLOCK_KINDS = ("thinking", "redacted_thinking", "reasoning")

Members = Mapping[str, msgspec.Raw]


def is_claudes(format_: str) -> bool:
    """Some clients concatenate the deltas of `format` like those of a text."""
    return not format_.replace(CLAUDE, "")


def written_detail(thought: pb.Thinking, index: int) -> dict[str, Any]:
    """An entry of reasoning_details in a whole answer."""
    out = _entry(thought, index)
    if out["type"] == "reasoning.text":
        out.setdefault("text", "")
    return beneath(out, thought.extra_json)


def written_piece(delta: pb.ThinkingDelta) -> dict[str, Any]:
    """An entry of reasoning_details in a delta. Clients merge entries with the same `index`, so `format` is sent
    once."""
    return _entry(delta, delta.index)


def _entry(thought: Any, index: int) -> dict[str, Any]:
    encrypted = thought.HasField("redacted")
    out: dict[str, Any] = {"type": "reasoning.encrypted" if encrypted else "reasoning.text"}
    if thought.text:
        out["text"] = thought.text
    if thought.HasField("signature"):
        out["signature"] = thought.signature.decode("utf-8", "replace")
    if encrypted:
        out["data"] = thought.redacted.decode("utf-8", "replace")
    if thought.HasField("format"):
        out["format"] = thought.format
    return {**out, "index": index}


def read_carriers(members: Members) -> Iterator[tuple[str, list[pb.Thinking]]]:
    """The members that contain reasoning, and that reasoning."""
    for name in CARRIERS:
        if name in members:
            yield name, _read_list(name, members[name])
    nested = opened(members.get(_NESTED, msgspec.Raw(b"null")))
    for name in CARRIERS:
        if name in nested:
            yield _NESTED, _read_list(name, nested[name])


def rest_of_nested(raw: msgspec.Raw) -> bool:
    """Whether LiteLLM's object contains more than the reasoning that is read from it."""
    known = (*CARRIERS, "reasoning_content", "reasoning")
    return any(name not in known and bytes(value) != b"null" for name, value in opened(raw).items())


def _read_list(name: str, raw: msgspec.Raw) -> list[pb.Thinking]:
    if bytes(raw) == b"null":
        return []
    try:
        entries: list[msgspec.Raw] = ARRAYS.decode(raw)
    except MALFORMED:
        return [_unreadable(raw)]
    if name == DETAILS:
        return _read_details(entries)
    return [read_block(entry) or _unreadable(entry) for entry in entries]


def _read_details(entries: list[msgspec.Raw]) -> list[pb.Thinking]:
    """Some clients keep the pieces of a stream one by one: those with the same index are one thought, up to its
    signature."""
    thoughts: list[pb.Thinking] = []
    texts: list[list[str]] = []  # of each thought
    last = b""
    for entry in entries:
        index = bytes(opened(entry).get("index", b""))
        try:
            piece = _read_detail(entry)
        except _NotText:
            piece, index = _unreadable(entry), b""
        open_ = thoughts[-1] if thoughts and index and index == last else None
        if open_ is None or open_.signature or open_.redacted or piece.redacted:
            thoughts.append(piece)
            texts.append([piece.text])
        else:
            texts[-1].append(piece.text)
            for field in ("signature", "format"):
                if piece.HasField(field):
                    setattr(open_, field, getattr(piece, field))
        last = index
    for thought, pieces in zip(thoughts, texts, strict=True):
        thought.text = "".join(pieces)
    if len(entries) == 1 and _is_last_piece(opened(entries[0])):
        thoughts[0].format = _UNREADABLE
    return thoughts


def _is_last_piece(members: Members) -> bool:
    """OpenAI's SDK for Node keeps the last delta of a stream: the signature, without the text, the format or
    earlier deltas. A thought that its provider signs but does not show has an empty text in a whole answer, and
    a format in a stream."""
    return "signature" in members and "format" not in members and "text" not in members


def _unreadable(raw: msgspec.Raw | bytes) -> pb.Thinking:
    return pb.Thinking(text=bytes(raw).decode("utf-8", "replace"), format=_UNREADABLE)


class _NotText(ValueError):
    """A member that must be a text is not one."""


def _read_detail(raw: msgspec.Raw) -> pb.Thinking:
    members = opened(raw)
    thought = pb.Thinking(text=_text(members, "text") or _text(members, "summary"))
    if signature := _text(members, "signature"):
        thought.signature = signature.encode()
    if (format_ := _text(members, "format")) and format_ != "unknown":
        thought.format = CLAUDE if is_claudes(format_) else format_
    match _text(members, "type"):
        case "reasoning.encrypted":
            thought.redacted = _text(members, "data").encode()
        case "reasoning.text" | "reasoning.summary":
            pass
        case _:
            return _unreadable(raw)
    _keep_rest(thought, members, _DETAIL)
    return thought


def read_block(raw: msgspec.Raw | bytes) -> pb.Thinking | None:
    """A block of Anthropic's, or a part of Mistral's or Databricks'; None for anything but a thought."""
    members = opened(raw)
    try:
        return _read_block(members)
    except _NotText:
        return _unreadable(raw)


def _read_block(members: Members) -> pb.Thinking | None:
    kind = members.get("type", msgspec.Raw(b"null"))
    match _text(members, "type") if bytes(kind).startswith(b'"') else "":
        case "redacted_thinking":
            thought = pb.Thinking(redacted=_text(members, "data").encode())
        case "thinking" if not bytes(members.get("thinking", b"")).startswith(b"["):
            thought = pb.Thinking(text=_text(members, "thinking"))
            if signature := _text(members, "signature"):
                thought.signature = signature.encode()
        case "thinking":
            return pb.Thinking(text=_joined(members["thinking"]))
        case "reasoning":
            return pb.Thinking(text=_text(members, "text") or _joined(members.get("summary", msgspec.Raw(b"[]"))))
        case _:
            return None
    _keep_rest(thought, members, _BLOCK)
    return thought


def may_be_block(text: str) -> bool:
    """Whether a part's JSON may be a thought."""
    return any(f'"{kind}"' in text for kind in _BLOCK_KINDS)


def _joined(pieces: msgspec.Raw) -> str:
    try:
        return "".join(_text(opened(piece), "text") for piece in ARRAYS.decode(pieces))
    except MALFORMED:
        return bytes(pieces).decode("utf-8", "replace")


def _keep_rest(thought: pb.Thinking, members: Members, known: frozenset[str]) -> None:
    if (rest := object_text({name: raw for name, raw in members.items() if name not in known})) is not None:
        thought.extra_json = rest


def opened(raw: msgspec.Raw | bytes) -> Members:
    """The members of an object; none for anything else."""
    try:
        return OBJECTS.decode(raw)
    except MALFORMED:
        return {}


def _text(members: Members, name: str) -> str:
    """A string; "" if there is none. Raises _NotText for anything else."""
    raw = members.get(name)
    if raw is None or bytes(raw) == b"null":
        return ""
    try:
        text: str = STRINGS.decode(raw)
    except MALFORMED:
        raise _NotText(name) from None
    return text
