"""Content blocks of a stream. Each kind of block converts its start, deltas and end to deltas of the answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from adapters.anthropic.answer import untyped_block
from adapters.anthropic.json_answer import TOOL_NAME
from adapters.delta_lists import DeltaLists
from adapters.json_object import MALFORMED, OBJECTS, Obj, of_answer
from adapters.thoughts import CLAUDE
from sidecar.v1 import inference_pb2 as pb


class Block(Protocol):
    """An open content block. Each step returns the deltas that it adds to the answer."""

    def start(self) -> list[pb.Delta]: ...
    def extend(self, raw: bytes) -> list[pb.Delta]: ...
    def stop(self) -> list[pb.Delta]: ...


@dataclass(slots=True)
class Numbers:
    """Counts thinking parts, tool calls and list entries, for indexes that do not depend on the provider's."""

    thinking: int = 0
    tool_calls: int = 0
    lists: DeltaLists = field(default_factory=DeltaLists)
    by_json_tool: bool = False

    @property
    def answered(self) -> bool:
        """Whether the gateway's own tool gave the answer, and there is no other call."""
        return self.by_json_tool and not self.tool_calls

    def next_thinking(self) -> int:
        self.thinking += 1
        return self.thinking - 1

    def next_tool_call(self) -> int:
        self.tool_calls += 1
        return self.tool_calls - 1


def open_block(raw: bytes, numbers: Numbers) -> Block:
    """Opens the block of a content_block_start."""
    block = Obj(raw, "content_block", of_answer)
    match block.string("type"):
        case "text":
            return _Text(block, numbers.lists)
        case "thinking":
            return _Thinking(block, numbers.next_thinking(), numbers.lists)
        case "redacted_thinking":
            return _Redacted(block, numbers.next_thinking(), numbers.lists)
        case "tool_use":
            name = block.string("name")
            if name == TOOL_NAME:
                numbers.by_json_tool = True
                return _JsonAnswer(block, name, 0, numbers.lists)
            return _ToolUse(block, name, numbers.next_tool_call(), numbers.lists)
        case "" | None:
            raise untyped_block()
        case _:
            return _Other(OBJECTS.decode(raw), numbers.lists)


@dataclass(slots=True)
class _Text:
    block: Obj
    lists: DeltaLists

    def start(self) -> list[pb.Delta]:
        return _text_delta(self.block, self.lists)

    def extend(self, raw: bytes) -> list[pb.Delta]:
        delta = _opened(raw)
        match delta.string("type"):
            case "text_delta":
                return _text_delta(delta, self.lists)
            case "citations_delta" if (citation := delta.take("citation")) is not None:
                return [pb.Delta(extra_json=self.lists.entry("citations", citation))]
            case _:
                return [_unknown(raw, self.lists)]

    def stop(self) -> list[pb.Delta]:
        return []


@dataclass(slots=True)
class _Thinking:
    block: Obj
    index: int
    lists: DeltaLists

    def start(self) -> list[pb.Delta]:
        """Always returns a piece, even for an empty thought, because the part exists."""
        signature = self.block.string("signature")
        thought = pb.ThinkingDelta(
            index=self.index,
            text=self.block.string("thinking"),
            signature=signature.encode() if signature else None,
            format=CLAUDE,
        )
        return [pb.Delta(thinking=thought, extra_json=self.block.extra())]

    def extend(self, raw: bytes) -> list[pb.Delta]:
        delta = _opened(raw)
        thought = pb.ThinkingDelta(index=self.index)
        match delta.string("type"):
            case "thinking_delta":
                thought.text = delta.string("thinking") or ""
            case "signature_delta":
                thought.signature = (delta.string("signature") or "").encode()
            case _:
                return [_unknown(raw, self.lists)]
        return [pb.Delta(thinking=thought, extra_json=delta.extra())]

    def stop(self) -> list[pb.Delta]:
        return []


@dataclass(slots=True)
class _Redacted:
    """A thought that only the provider can read; complete in its start event."""

    block: Obj
    index: int
    lists: DeltaLists

    def start(self) -> list[pb.Delta]:
        data = self.block.string("data") or ""
        thought = pb.ThinkingDelta(index=self.index, redacted=data.encode(), format=CLAUDE)
        return [pb.Delta(thinking=thought, extra_json=self.block.extra())]

    def extend(self, raw: bytes) -> list[pb.Delta]:
        return [_unknown(raw, self.lists)]

    def stop(self) -> list[pb.Delta]:
        return []


@dataclass(slots=True)
class _ToolUse:
    block: Obj
    name: str | None
    index: int
    lists: DeltaLists
    input_json: str = "{}"
    written: bool = False

    def start(self) -> list[pb.Delta]:
        self.input_json = self.block.json("input") or "{}"
        call = pb.ToolCallDelta(
            index=self.index,
            id=self.block.string("id"),
            name=self.name,
            extra_json=self.block.extra(),
        )
        return [pb.Delta(tool_calls=[call])]

    def extend(self, raw: bytes) -> list[pb.Delta]:
        delta = _opened(raw)
        if delta.string("type") != "input_json_delta":
            return [_unknown(raw, self.lists)]
        piece = delta.string("partial_json")
        if not piece:
            return []
        self.written = True
        return [self._arguments(piece)]

    def stop(self) -> list[pb.Delta]:
        """A call without deltas has the input of its start: usually {}, which the API sends for no arguments."""
        return [] if self.written else [self._arguments(self.input_json)]

    def _arguments(self, piece: str) -> pb.Delta:
        return pb.Delta(tool_calls=[pb.ToolCallDelta(index=self.index, arguments_json=piece)])


class _JsonAnswer(_ToolUse):
    """The call that is the answer (json_answer): its input becomes the text."""

    __slots__ = ()

    def start(self) -> list[pb.Delta]:
        self.input_json = self.block.json("input") or "{}"
        return []

    def _arguments(self, piece: str) -> pb.Delta:
        return pb.Delta(content=piece)


@dataclass(slots=True)
class _Other:
    """A server tool's call or result, or an unknown block: passed on as a whole when it ends."""

    members: dict[str, msgspec.Raw]
    lists: DeltaLists
    pieces: list[str] = field(default_factory=list)
    unknown: list[msgspec.Raw] = field(default_factory=list)

    def start(self) -> list[pb.Delta]:
        return []

    def extend(self, raw: bytes) -> list[pb.Delta]:
        delta = _opened(raw)
        if delta.string("type") == "input_json_delta":
            self.pieces.append(delta.string("partial_json") or "")
        else:
            self.unknown.append(msgspec.Raw(raw))
        return []

    def stop(self) -> list[pb.Delta]:
        block: dict[str, Any] = dict(self.members)
        text = "".join(self.pieces)
        if text:
            block["input"] = msgspec.Raw(text.encode()) if _is_object(text) else text
        extra: dict[str, bytes] = {"content_blocks": msgspec.json.encode([block])}
        if self.unknown:
            extra["content_block_deltas"] = msgspec.json.encode(self.unknown)
        return [pb.Delta(extra_json=self.lists.extra_json(extra))]


def _opened(raw: bytes) -> Obj:
    return Obj(raw, "delta", of_answer)


def _text_delta(obj: Obj, lists: DeltaLists) -> list[pb.Delta]:
    delta = pb.Delta(content=obj.string("text"), extra_json=lists.extra_json(obj.members))
    return [delta] if delta.content or delta.extra_json else []


def _unknown(raw: bytes, lists: DeltaLists) -> pb.Delta:
    return pb.Delta(extra_json=lists.entry("content_block_deltas", raw))


def _is_object(text: str) -> bool:
    try:
        OBJECTS.decode(text)
    except MALFORMED:
        return False
    return True
