"""Content blocks of a stream: each kind of block turns its start, its deltas and its end into pieces of the answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from adapters._errors import GatewayError, Kind
from adapters._thoughts import CLAUDE
from adapters.anthropic._answer import REDACTED, TEXT, THINKING, TOOL_USE
from adapters.anthropic._json import Members, Raw, is_object, member, object_text, opened, quoted, rest, string
from sidecar.v1 import inference_pb2 as pb


class Block(Protocol):
    """An open content block. Each step gives the deltas it adds to the answer."""

    def start(self) -> list[pb.Delta]: ...
    def extend(self, raw: Raw) -> list[pb.Delta]: ...
    def stop(self) -> list[pb.Delta]: ...


@dataclass(slots=True)
class Numbers:
    """How many thinking parts and tool calls were opened: their indexes, whatever the provider's block index is."""

    thinking: int = 0
    tool_calls: int = 0

    def next_thinking(self) -> int:
        self.thinking += 1
        return self.thinking - 1

    def next_tool_call(self) -> int:
        self.tool_calls += 1
        return self.tool_calls - 1


def open_block(raw: Raw, numbers: Numbers) -> Block:
    """The block of a content_block_start."""
    members = opened(bytes(raw), "a content block")
    match string(members, "type"):
        case "text":
            return _Text(members)
        case "thinking" | "redacted_thinking":
            return _Thinking(members, numbers.next_thinking())
        case "tool_use":
            return _ToolUse(members, numbers.next_tool_call())
        case "":
            raise GatewayError(Kind.UPSTREAM_PROTOCOL, "the provider sent a content block without a type")
        case _:
            return _Other(members)


@dataclass(slots=True)
class _Text:
    members: Members

    def start(self) -> list[pb.Delta]:
        return _said(pb.Delta(content=string(self.members, "text"), extra_json=rest(self.members, TEXT)))

    def extend(self, raw: Raw) -> list[pb.Delta]:
        delta = opened(bytes(raw), "a delta")
        match string(delta, "type"):
            case "text_delta":
                return _said(pb.Delta(content=string(delta, "text"), extra_json=rest(delta, TEXT)))
            case "citations_delta" if (citation := member(delta, "citation")) is not None:
                return [pb.Delta(extra_json=object_text({"citations": [citation]}))]
            case _:
                return [_unknown(raw)]

    def stop(self) -> list[pb.Delta]:
        return []


@dataclass(slots=True)
class _Thinking:
    members: Members
    index: int

    def start(self) -> list[pb.Delta]:
        """Always a piece, also of an empty thought: the part exists, and a redacted one has no deltas."""
        if string(self.members, "type") == "redacted_thinking":
            redacted = string(self.members, "data").encode()
            thought = pb.ThinkingDelta(index=self.index, redacted=redacted, format=CLAUDE)
            return [pb.Delta(thinking=thought, extra_json=rest(self.members, REDACTED))]
        signature = string(self.members, "signature")
        thought = pb.ThinkingDelta(
            index=self.index,
            text=string(self.members, "thinking"),
            signature=signature.encode() if signature else None,
            format=CLAUDE,
        )
        return [pb.Delta(thinking=thought, extra_json=rest(self.members, THINKING))]

    def extend(self, raw: Raw) -> list[pb.Delta]:
        delta = opened(bytes(raw), "a delta")
        extra = rest(delta, THINKING)
        match string(delta, "type"):
            case "thinking_delta":
                thought = pb.ThinkingDelta(index=self.index, text=string(delta, "thinking"))
            case "signature_delta":
                thought = pb.ThinkingDelta(index=self.index, signature=string(delta, "signature").encode())
            case _:
                return [_unknown(raw)]
        return [pb.Delta(thinking=thought, extra_json=extra)]

    def stop(self) -> list[pb.Delta]:
        return []


@dataclass(slots=True)
class _ToolUse:
    members: Members
    index: int
    written: bool = False

    def start(self) -> list[pb.Delta]:
        call = pb.ToolCallDelta(
            index=self.index,
            id=string(self.members, "id"),
            name=string(self.members, "name"),
            extra_json=rest(self.members, TOOL_USE),
        )
        return [pb.Delta(tool_calls=[call])]

    def extend(self, raw: Raw) -> list[pb.Delta]:
        delta = opened(bytes(raw), "a delta")
        if string(delta, "type") != "input_json_delta":
            return [_unknown(raw)]
        piece = string(delta, "partial_json")
        if not piece:
            return []
        self.written = True
        return [self._arguments(piece)]

    def stop(self) -> list[pb.Delta]:
        """A call that no delta filled has what its start said: usually {}, which the API writes for no arguments."""
        if self.written:
            return []
        given = member(self.members, "input")
        return [self._arguments("{}" if given is None else bytes(given).decode())]

    def _arguments(self, piece: str) -> pb.Delta:
        return pb.Delta(tool_calls=[pb.ToolCallDelta(index=self.index, arguments_json=piece)])


@dataclass(slots=True)
class _Other:
    """A server tool's call or result, or a block newer than this code: given whole when it ends."""

    members: Members
    pieces: list[str] = field(default_factory=list)
    unknown: list[Raw] = field(default_factory=list)

    def start(self) -> list[pb.Delta]:
        return []

    def extend(self, raw: Raw) -> list[pb.Delta]:
        delta = opened(bytes(raw), "a delta")
        if string(delta, "type") == "input_json_delta":
            self.pieces.append(string(delta, "partial_json"))
        else:
            self.unknown.append(raw)
        return []

    def stop(self) -> list[pb.Delta]:
        block: dict[str, Raw] = dict(self.members)
        text = "".join(self.pieces)
        if text:
            block["input"] = Raw(text.encode()) if is_object(text) else quoted(text)
        extra: dict[str, list[object]] = {"content_blocks": [block]}
        if self.unknown:
            extra["content_block_deltas"] = [*self.unknown]
        return [pb.Delta(extra_json=object_text(extra))]


def _said(delta: pb.Delta) -> list[pb.Delta]:
    return [delta] if delta.content or delta.extra_json else []


def _unknown(raw: Raw) -> pb.Delta:
    return pb.Delta(extra_json=object_text({"content_block_deltas": [raw]}))
