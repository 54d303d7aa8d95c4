"""Decodes a streamed answer of POST /v2/chat (https://docs.cohere.com/v2/docs/streaming).

Cohere numbers content and tool calls separately, and only message-start has an id. The stream ends with message-end,
followed by `data: [DONE]`; both are required, so that an answer cut off between them is not a success.

What a chunk has no field for is kept in extra_json: citations in the delta as `citations`, further members of
message-end at the chunk's top level, unknown events in the chunk as `events`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from adapters.cohere.answer import add_usage, failed, finish_reason, inner, read_logprobs, read_usage
from adapters.cohere.chat_answer import arguments, joined_objects, open_answer
from adapters.cohere.failure import in_band, protocol
from adapters.cohere.messages import TOOL_PLAN
from adapters.contract import Context, Target
from adapters.delta_lists import DeltaLists
from adapters.json_object import Obj, object_text
from adapters.sse import Event
from sidecar.v1 import inference_pb2 as pb

_DONE = b"[DONE]"
# What a tool without parameters may get as arguments; held back until it is known to be complete.
_NULL = "null"
# Blanks around it: an endless run of them must not be rescanned with each one.
_HELD_CHARS_MAX = 64


class _Call:
    """An open tool call: the arguments so far, while they may still turn out to be none."""

    __slots__ = ("ended", "held", "index", "written")

    def __init__(self, index: int) -> None:
        self.index = index
        self.held = ""
        self.written = False
        self.ended = False

    def extend(self, text: str) -> str:
        """Returns what can be sent by now."""
        if not self.written:
            self.held += text
            if len(self.held) <= _HELD_CHARS_MAX and _NULL.startswith(self.held.strip()):
                return ""
            text, self.held, self.written = self.held, "", True
        return text

    def end(self) -> str:
        self.ended = True
        return "" if self.written else arguments(self.held)


class ChatDecoder:
    """The state of one stream. `feed` raises GatewayError for a failure, or for anything that is not of the format."""

    def __init__(self, target: Target, context: Context) -> None:
        self.done = False
        self.repeats = False
        self._target = target
        self._context = context
        self._head = pb.StreamChatResponse(created=context.now_s, model=context.model)
        self._lists = DeltaLists()
        self._started = False
        self._finished = False
        self._thinking: dict[str, int] = {}  # "plan" or "content <index>" -> index of the thinking part
        self._calls = 0  # how many there have been
        self._open_calls: dict[int, _Call] = {}  # by our index
        self._by_index: dict[int, _Call] = {}
        self._steps: dict[str, Callable[[Obj], list[pb.StreamChatResponse]]] = {
            "message-start": self._message_start,
            "content-start": self._content,
            "content-delta": self._content,
            "content-end": lambda obj: [],
            "tool-plan-delta": self._tool_plan,
            "tool-call-start": self._call_start,
            "tool-call-delta": self._call_delta,
            "tool-call-end": self._call_end,
            "citation-start": self._citation,
            "citation-end": lambda obj: [],
            "message-end": self._message_end,
        }

    def feed(self, event: Event) -> list[Any]:
        self.repeats = False
        if self.done or not event.data:
            return []
        if event.data == _DONE:
            if not self._finished:
                raise protocol("[DONE] before message-end")
            self.done = True
            return []
        obj = open_answer(event.data)
        name = obj.string("type") or event.name
        if self._finished:
            return []
        bare = not name and bytes(obj.members.get("message", b"")).startswith(b'"')  # the format of an error body
        if name == "error" or bare:
            raise in_band(obj)
        step = self._steps.get(name)
        if not name:
            raise protocol("an event without a type")
        if step is None:
            return self._unknown(obj, event)
        if self._started == (name == "message-start"):
            raise protocol(f"{name} {'twice' if self._started else 'before message-start'}")
        return step(obj)

    def close(self) -> list[Any]:
        """Handles the end of the body, which ends the stream without [DONE] if the target's stream_end allows it."""
        ends = {"finish": self._finished, "close": self._started}
        if not self.done and not ends.get(self._target.stream_end, False):
            raise protocol(f"its stream ended before {'[DONE]' if self._finished else 'message-end'}")
        return []

    def _message_start(self, obj: Obj) -> list[pb.StreamChatResponse]:
        self._started = True
        self._head.id = obj.string("id") or self._context.new_id("chatcmpl-")
        return [self._chunk(pb.Delta(role=pb.ROLE_ASSISTANT))]

    def _content(self, obj: Obj) -> list[pb.StreamChatResponse]:
        """A block's start and its pieces look alike: the member that is present determines the kind."""
        content = _delta(obj).object("content")
        if content is None:
            raise protocol("content without a delta")
        kind = content.string("type")
        if kind not in (None, "text", "thinking"):
            return [self._chunk(pb.Delta(extra_json=self._lists.extra_json(_with_type(content, kind))))]
        text, thought = content.string("text"), content.string("thinking")
        delta = pb.Delta(content=text or "")
        if thought:
            part = self._thinking.setdefault(f"content {obj.integer('index') or 0}", len(self._thinking))
            delta.thinking.index, delta.thinking.text = part, thought
        if (extra := content.extra()) is not None:
            delta.extra_json = extra
        chunk = self._chunk(delta)
        read_logprobs(obj, chunk.choices[0])
        self.repeats = bool(text or thought)
        return [chunk] if delta.ListFields() or chunk.choices[0].HasField("logprobs") else []

    def _tool_plan(self, obj: Obj) -> list[pb.StreamChatResponse]:
        text = _delta(obj).string(TOOL_PLAN)
        if not text:
            return []
        part = self._thinking.setdefault("plan", len(self._thinking))
        self.repeats = True
        return [self._chunk(pb.Delta(thinking=pb.ThinkingDelta(index=part, text=text, native_name=TOOL_PLAN)))]

    def _call_start(self, obj: Obj) -> list[pb.StreamChatResponse]:
        members = _delta(obj).object("tool_calls")
        if members is None:
            raise protocol("a tool-call-start without a call")
        call = _Call(self._calls)
        self._calls += 1
        self._open_calls[call.index] = call
        self._by_index[obj.integer("index") or 0] = call
        function = members.object("function")
        name = function.string("name") if function is not None else None
        text = function.string("arguments") if function is not None else None
        made = pb.ToolCallDelta(index=call.index, id=members.string("id") or "", name=name or "")
        made.arguments_json = call.extend(text or "")
        members.take("type")
        if (extra := members.extra()) is not None:
            made.extra_json = extra
        return [self._chunk(pb.Delta(tool_calls=[made]))]

    def _call_delta(self, obj: Obj) -> list[pb.StreamChatResponse]:
        call = self._open(obj)
        members = _delta(obj).object("tool_calls")
        function = members.object("function") if members is not None else None
        return self._arguments(call, call.extend((function.string("arguments") if function is not None else "") or ""))

    def _call_end(self, obj: Obj) -> list[pb.StreamChatResponse]:
        call = self._open(obj)
        del self._open_calls[call.index]
        return self._arguments(call, call.end())

    def _open(self, obj: Obj) -> _Call:
        call = self._by_index.get(obj.integer("index") or 0)
        if call is None or call.ended:
            raise protocol("a piece of a tool call that is not open")
        return call

    def _arguments(self, call: _Call, text: str) -> list[pb.StreamChatResponse]:
        if not text:
            return []
        return [self._chunk(pb.Delta(tool_calls=[pb.ToolCallDelta(index=call.index, arguments_json=text)]))]

    def _citation(self, obj: Obj) -> list[pb.StreamChatResponse]:
        raw = _delta(obj).take("citations")
        if raw is None:
            return []
        citations = raw if raw.startswith(b"[") else b"[" + raw + b"]"
        return [self._chunk(pb.Delta(extra_json=self._lists.extra_json({"citations": citations})))]

    def _message_end(self, obj: Obj) -> list[pb.StreamChatResponse]:
        delta = obj.object("delta")
        native = (delta.string("finish_reason") if delta is not None else None) or ""
        if delta is None or not native:
            raise protocol("a message-end without a finish reason")
        if failed(native):
            raise in_band(delta)
        self._finished = True
        out = [chunk for call in self._open_calls.values() for chunk in self._arguments(call, call.end())]
        self._open_calls.clear()
        last = self._chunk(pb.Delta())
        last.choices[0].finish_reason = finish_reason(native)
        last.choices[0].native_finish_reason = native
        if (usage := inner(delta, "usage")) is not None:
            add_usage(last, read_usage(usage))
            if rest := usage.extra():
                last.usage.extra_json = joined_objects(last.usage.extra_json, rest)
        if (extra := delta.extra()) is not None:
            last.extra_json = extra
        return [*out, last]

    def _unknown(self, obj: Obj, event: Event) -> list[pb.StreamChatResponse]:
        if not self._started:
            return []  # the first chunk must contain the id, which is not known yet
        return [self._headed(extra_json=object_text({"events": msgspec.Raw(b"[" + event.data + b"]")}))]

    def _chunk(self, delta: pb.Delta) -> pb.StreamChatResponse:
        return self._headed(choices=[pb.ChunkChoice(index=0, delta=delta)])

    def _headed(self, **fields: Any) -> pb.StreamChatResponse:
        return pb.StreamChatResponse(id=self._head.id, created=self._head.created, model=self._head.model, **fields)


def _delta(obj: Obj) -> Obj:
    """`delta.message` of an event."""
    delta = obj.object("delta")
    message = delta.object("message") if delta is not None else None
    if message is None:
        raise protocol("an event without a message")
    return message


def _with_type(content: Obj, kind: str) -> dict[str, Any]:
    members = {"type": msgspec.Raw(msgspec.json.encode(kind)), **content.members}
    return {"content_blocks": msgspec.Raw(b"[" + msgspec.json.encode(members) + b"]")}
