"""Decodes an answer of the Responses API, whole or as a stream of events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from adapters.contract import Context, Target
from adapters.errors import GatewayError, Kind
from adapters.json_object import Obj, of_answer
from adapters.openai import usage_of
from adapters.responses.passing import read_answer, read_event
from adapters.responses.sealed import OPENAI
from adapters.sse import Event
from sidecar.v1 import inference_pb2 as pb

_REASONS = {
    "max_output_tokens": pb.FINISH_REASON_LENGTH,
    "content_filter": pb.FINISH_REASON_CONTENT_FILTER,
}
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}


def decode(body: bytes, context: Context) -> pb.ChatResponse:
    """Decodes a whole answer."""
    read_answer(body)
    obj = Obj(body, "", of_answer)
    answer = pb.ChatResponse()
    _read_head(obj, answer, context)
    choice = answer.choices.add()
    choice.message.role = pb.ROLE_ASSISTANT
    for item in obj.objects("output"):
        _read_item(item, choice)
    _finish(obj, choice, called=bool(choice.message.tool_calls))
    return answer


def _read_head(obj: Obj, into: Any, context: Context) -> None:
    into.id = obj.string("id") or context.new_id("resp_")
    into.created = int(obj.number("created_at") or context.now_s)
    into.model = obj.string("model") or context.model
    if (tier := obj.string("service_tier")) is not None:
        into.service_tier = tier
    if (raw := obj.take("usage")) is not None and (usage := usage_of(raw)) is not None:
        into.usage.CopyFrom(usage)


def _finish(obj: Obj, choice: Any, *, called: bool) -> None:
    details = obj.object("incomplete_details")
    reason = details.string("reason") if details is not None else None
    choice.native_finish_reason = reason or obj.string("status") or "completed"
    if reason is not None:
        choice.finish_reason = _REASONS.get(reason, pb.FINISH_REASON_OTHER)
    else:
        choice.finish_reason = pb.FINISH_REASON_TOOL_CALLS if called else pb.FINISH_REASON_STOP


def _read_item(item: Obj, choice: pb.Choice) -> None:
    kind = item.string("type") or ""
    message = choice.message
    if kind == "reasoning":
        message.content.add(thinking=_thought(item))
    elif kind == "message":
        for part in item.objects("content"):
            _read_part(part, message)
    elif kind in _CALLS:
        _read_call(item, kind, message.tool_calls.add())
    else:  # the trace of a provider's tool
        message.content.add(other_json=_block(item, kind))


def _block(item: Obj, kind: str) -> str:
    return msgspec.json.encode({"type": kind, **item.members}).decode("utf-8", "replace")


def _thought(item: Obj) -> pb.Thinking:
    texts = [part.string("text") or "" for name in ("summary", "content") for part in item.objects(name)]
    thought = pb.Thinking(text="\n\n".join(text for text in texts if text))
    if content := item.string("encrypted_content"):
        thought.redacted, thought.format = content.encode(), OPENAI
    return thought


def _read_part(part: Obj, message: pb.Message) -> None:
    kind = part.string("type")
    if kind == "output_text":
        into = message.content.add(text=part.string("text") or "")
        annotations = part.take("annotations")
        if annotations not in (None, b"[]"):
            into.extra_json = '{"annotations":' + annotations.decode("utf-8", "replace") + "}"
    elif kind == "refusal":
        message.content.add(refusal=part.string("refusal") or "")


def _read_call(item: Obj, kind: str, into: Any) -> None:
    into.id = item.string("call_id") or ""
    into.name = item.string("name") or ""
    if kind == "custom_tool_call":
        into.custom_input = item.string("input") or ""
    else:
        into.arguments_json = item.string("arguments") or "{}"


class EventDecoder:
    """Converts events to chunks. Indexes of items become indexes of reasoning and calls."""

    def __init__(self, target: Target, context: Context) -> None:
        self.done = False
        self.repeats = False  # each event has its own number
        self._context = context
        self._head = pb.StreamChatResponse()
        self._begun = False
        self._calls: dict[int, int] = {}  # by output_index
        self._written: set[int] = set()  # output_index of calls whose arguments have arrived in pieces
        self._thoughts: dict[int, int] = {}
        self._steps: dict[str, Callable[[Obj], list[pb.Delta]]] = {
            "response.output_item.added": self._added,
            "response.output_item.done": self._item_done,
            "response.output_text.delta": lambda event: [pb.Delta(content=event.string("delta") or "")],
            "response.refusal.delta": lambda event: [pb.Delta(refusal=event.string("delta") or "")],
            "response.reasoning_summary_part.added": self._next_paragraph,
            "response.reasoning_summary_text.delta": self._think,
            "response.reasoning_text.delta": self._think,
            "response.function_call_arguments.delta": self._arguments,
            "response.custom_tool_call_input.delta": self._input,
            "response.output_text.annotation.added": self._annotation,
        }

    def feed(self, event: Event) -> list[Any]:
        if self.done or not event.data:
            return []
        kind, found = read_event(event)
        if kind == "response.created":
            _read_head(Obj(bytes(found.response), "response", of_answer), self._head, self._context)
            self._head.ClearField("usage")
            return []
        if kind in ("response.completed", "response.incomplete"):
            self.done = True
            return [self._end(Obj(bytes(found.response), "response", of_answer))]
        step = self._steps.get(kind)
        if step is None:
            return []
        return [self._chunk(pb.ChunkChoice(delta=delta)) for delta in step(Obj(event.data, "", of_answer))]

    def close(self) -> list[Any]:
        if not self.done:
            raise GatewayError(Kind.UPSTREAM_PROTOCOL, "The provider's stream ended before its last event.")
        return []

    def _chunk(self, choice: pb.ChunkChoice) -> pb.StreamChatResponse:
        head = self._head
        if not self._begun:
            self._begun, choice.delta.role = True, pb.ROLE_ASSISTANT
        chunk = pb.StreamChatResponse(id=head.id, created=head.created, model=head.model, choices=[choice])
        if head.HasField("service_tier"):
            chunk.service_tier = head.service_tier
        return chunk

    def _end(self, response: Obj) -> pb.StreamChatResponse:
        _read_head(response, self._head, self._context)
        choice = pb.ChunkChoice()
        _finish(response, choice, called=bool(self._calls))
        chunk = self._chunk(choice)
        if self._head.HasField("usage"):
            chunk.usage.CopyFrom(self._head.usage)
        return chunk

    def _added(self, event: Obj) -> list[pb.Delta]:
        number = event.integer("output_index") or 0
        item = event.object("item")
        kind = item.string("type") if item is not None else None
        if item is None or kind not in _CALLS:
            return []
        index = self._calls[number] = len(self._calls)
        call = pb.ToolCallDelta(index=index, id=item.string("call_id") or "", name=item.string("name") or "")
        if kind == "custom_tool_call":
            call.custom_input = ""
        return [pb.Delta(tool_calls=[call])]

    def _item_done(self, event: Obj) -> list[pb.Delta]:
        """Handles the signature of a thought, arguments that were not streamed, and traces of the provider's tools."""
        number = event.integer("output_index") or 0
        item = event.object("item")
        if item is None:
            return []
        kind = item.string("type") or ""
        if kind == "reasoning":
            thought = _thought(item)
            delta = pb.ThinkingDelta(index=self._thought_at(number))
            if thought.redacted:
                delta.redacted, delta.format = thought.redacted, OPENAI
            return [pb.Delta(thinking=delta)]
        if kind in _CALLS:
            return self._whole_call(number, item, kind)
        if kind == "message":
            return []
        blocks = '{"content_blocks":[' + _block(item, kind) + "]}"
        return [pb.Delta(extra_json=blocks)]

    def _whole_call(self, number: int, item: Obj, kind: str) -> list[pb.Delta]:
        if number in self._written:
            return []
        call = pb.ToolCall()
        _read_call(item, kind, call)
        known = number in self._calls
        delta = pb.ToolCallDelta(index=self._calls.setdefault(number, len(self._calls)))
        if not known:
            delta.id, delta.name = call.id, call.name
        if call.HasField("custom_input"):
            delta.custom_input = call.custom_input
        else:
            delta.arguments_json = call.arguments_json
        return [pb.Delta(tool_calls=[delta])]

    def _thought_at(self, number: int) -> int:
        return self._thoughts.setdefault(number, len(self._thoughts))

    def _think(self, event: Obj) -> list[pb.Delta]:
        index = self._thought_at(event.integer("output_index") or 0)
        return [pb.Delta(thinking=pb.ThinkingDelta(index=index, text=event.string("delta") or ""))]

    def _next_paragraph(self, event: Obj) -> list[pb.Delta]:
        """As between the parts of a complete summary."""
        if not event.integer("summary_index"):
            return []
        index = self._thought_at(event.integer("output_index") or 0)
        return [pb.Delta(thinking=pb.ThinkingDelta(index=index, text="\n\n"))]

    def _arguments(self, event: Obj) -> list[pb.Delta]:
        return self._more(event, lambda call, text: setattr(call, "arguments_json", text))

    def _input(self, event: Obj) -> list[pb.Delta]:
        return self._more(event, lambda call, text: setattr(call, "custom_input", text))

    def _more(self, event: Obj, write: Callable[[pb.ToolCallDelta, str], None]) -> list[pb.Delta]:
        number = event.integer("output_index") or 0
        if number not in self._calls:
            raise GatewayError(Kind.UPSTREAM_PROTOCOL, "The provider's stream continues a call that has not begun.")
        self._written.add(number)
        call = pb.ToolCallDelta(index=self._calls[number])
        write(call, event.string("delta") or "")
        return [pb.Delta(tool_calls=[call])]

    def _annotation(self, event: Obj) -> list[pb.Delta]:
        raw = event.take("annotation")
        if raw is None:
            return []
        return [pb.Delta(extra_json='{"annotations":[' + raw.decode("utf-8", "replace") + "]}")]
