"""Encodes canonical chunks as the events of a streamed message, in Anthropic's order: message_start; start, deltas
and stop of one block after another; message_delta with the reason and the total usage; message_stop.

Other formats may interleave pieces of several calls. Here, blocks never overlap: while the arguments of a call are
not a complete object yet, other blocks wait.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from adapters.anthropic.error_body import encode_error_event
from adapters.anthropic.seal import is_own, sealed
from adapters.anthropic.write_answer import callers_names, head, stop_reason, usage
from adapters.chunks import joined_lists, unnumbered
from adapters.contract import Context, Envelope
from adapters.errors import GatewayError, Kind
from adapters.json_object import MALFORMED, OBJECTS, beneath
from adapters.usage import latest_usage
from sidecar.v1 import inference_pb2 as pb

PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_TEXT = ("text", 0)
_TOOL = "tool"
# While others wait, longer arguments are not checked for completeness with every piece: their call ends with the
# answer.
_LOOKED_AT_CHARS_MAX = 16_384
_Key = tuple[str, int]  # kind and index of a block
_Piece = Any  # a text, a ThinkingDelta, or a ToolCallDelta


@dataclass(slots=True)
class _Open:
    """The block that is being written."""

    key: _Key
    arguments: list[str] = field(default_factory=list)
    size: int = 0  # characters of arguments
    custom: bool = False  # whether they are the text of a custom tool, whose quotes are still open
    thought: pb.Thinking | None = None  # source of its signature
    signed: bool = False


class MessageWriter:
    """The events of one answer. Raises upstream_protocol if a call continues after it was complete and another
    began."""

    def __init__(self, envelope: Envelope, context: Context) -> None:
        self._context = context
        self._names = callers_names(envelope)
        self._started = False
        self._pinged = False
        self._index = -1  # of the last opened block
        self._open: _Open | None = None
        self._waiting: dict[_Key, list[_Piece]] = {}
        self._closed: set[_Key] = set()
        self._out: list[bytes] = []
        self._usage: Any = pb.Usage()
        self._tier = ""
        self._finish = 0
        self._called = self._refused = False
        self._rest = ""  # what blocks have no place for

    def feed(self, chunks: list[Any]) -> bytes:
        for chunk in chunks:
            if chunk.HasField("usage"):
                self._usage = latest_usage(self._usage, chunk.usage)
            self._tier = chunk.service_tier or self._tier
            self._start(chunk)
            for choice in chunk.choices:
                if choice.index == 0:  # the format has one
                    self._take(choice.delta)
                    self._finish = choice.finish_reason or self._finish
        return self._taken()

    def end(self) -> bytes:
        self._flush(at_end=True)
        self._close()
        reason = stop_reason(self._finish, called=self._called, refused=self._refused)
        delta = {"stop_reason": reason, "stop_sequence": None}
        last = {"delta": delta, "usage": usage(self._usage, self._tier)}
        self._event("message_delta", beneath(last, self._rest))
        self._event("message_stop", {})
        return self._taken()

    def failed(self, error: GatewayError, request_id: str) -> bytes:
        return self._taken() + encode_error_event(error, request_id)

    def _taken(self) -> bytes:
        out, self._out = self._out, []
        return b"".join(out)

    def _event(self, name: str, members: dict[str, Any]) -> None:
        self._out.append(b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode({"type": name, **members})))

    def _start(self, chunk: Any) -> None:
        if self._started:
            return
        self._started = True
        message = {**head(chunk), "content": [], "stop_reason": None, "stop_sequence": None}
        self._event("message_start", {"message": {**message, "usage": usage(self._usage, self._tier)}})

    def _take(self, delta: pb.Delta) -> None:
        if delta.HasField("thinking"):
            self._put(("thinking", delta.thinking.index), delta.thinking)
        if delta.content:
            self._put(_TEXT, delta.content)
        if delta.refusal:
            self._refused = True
            self._put(_TEXT, delta.refusal)
        if delta.extra_json:
            self._rest = joined_lists(self._rest, unnumbered(delta.extra_json))
        for call in delta.tool_calls:
            self._called = True
            self._put((_TOOL, call.index), call)

    def _put(self, key: _Key, piece: _Piece) -> None:
        block = self._open
        if block is not None and block.key == key:
            self._write(block, piece)
            if self._waiting and block.size <= _LOOKED_AT_CHARS_MAX:
                self._flush()
        elif self._waiting or not self._is_complete(block):
            self._waiting.setdefault(key, []).append(piece)
        else:
            self._write(self._begin(key, piece), piece)

    def _flush(self, *, at_end: bool = False) -> None:
        """Writes what has been waiting, block by block, as far as the preceding ones are complete."""
        while self._waiting and (at_end or self._is_complete(self._open)):
            key = next(iter(self._waiting))
            pieces = self._waiting.pop(key)
            block = self._begin(key, pieces[0])
            for piece in pieces:
                self._write(block, piece)

    def _is_complete(self, block: _Open | None) -> bool:
        """Whether the block seems complete. Only checked if another block wants to begin."""
        if block is None or block.key[0] != _TOOL:
            return True
        if not (block.arguments and block.arguments[-1].rstrip().endswith("}")):
            return False
        try:
            OBJECTS.decode("".join(block.arguments))
        except MALFORMED:
            return False
        return True

    def _begin(self, key: _Key, piece: _Piece) -> _Open:
        self._close()
        if key in self._closed:
            raise GatewayError(Kind.UPSTREAM_PROTOCOL, "The provider continued a tool call that was complete.")
        self._index += 1
        self._open = block = _Open(key)
        self._event("content_block_start", {"index": self._index, "content_block": self._shell(block, piece)})
        if not self._pinged:
            self._pinged = True
            self._out.append(PING)
        return block

    def _shell(self, block: _Open, piece: _Piece) -> dict[str, Any]:
        match block.key[0]:
            case "tool":
                id_ = piece.id or self._context.new_id("toolu_")
                name = self._names.get(piece.name, piece.name)
                return {"type": "tool_use", "id": id_, "name": name, "input": {}}
            case "thinking":
                block.thought = pb.Thinking()
                if piece.HasField("redacted") and not piece.text:
                    block.signed = True
                    return {"type": "redacted_thinking", "data": sealed(piece)}
                return {"type": "thinking", "thinking": "", "signature": ""}
            case _:
                return {"type": "text", "text": ""}

    def _write(self, block: _Open, piece: _Piece) -> None:
        match block.key[0]:
            case "tool":
                part = piece.arguments_json
                if piece.HasField("custom_input"):  # one string, as the value of a member
                    part = ("" if block.custom else '{"input":"') + msgspec.json.encode(piece.custom_input).decode()[
                        1:-1
                    ]
                    block.custom = True
                if part:
                    block.arguments.append(part)
                    block.size += len(part)
                    self._delta({"type": "input_json_delta", "partial_json": part})
            case "thinking":
                self._think(block, piece)
            case _:
                self._delta({"type": "text_delta", "text": piece})

    def _think(self, block: _Open, piece: pb.ThinkingDelta) -> None:
        assert block.thought is not None
        for name in ("signature", "redacted", "native_name", "format"):
            if piece.HasField(name):
                setattr(block.thought, name, getattr(piece, name))
        if piece.text:
            self._delta({"type": "thinking_delta", "thinking": piece.text})
        if piece.HasField("signature") and is_own(block.thought):
            self._sign(block)

    def _sign(self, block: _Open) -> None:
        assert block.thought is not None
        block.signed = True
        self._delta({"type": "signature_delta", "signature": sealed(block.thought)})

    def _delta(self, delta: dict[str, Any]) -> None:
        self._event("content_block_delta", {"index": self._index, "delta": delta})

    def _close(self) -> None:
        block = self._open
        if block is None:
            return
        if block.thought is not None and not block.signed:
            self._sign(block)
        if block.custom:
            self._delta({"type": "input_json_delta", "partial_json": '"}'})
        if block.key[0] == _TOOL:
            self._closed.add(block.key)
        self._event("content_block_stop", {"index": self._index})
        self._open = None
