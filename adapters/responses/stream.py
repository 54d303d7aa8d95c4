"""Encodes canonical chunks as the events of a streamed response: created and in_progress; for each item added, its
parts and deltas, done; and one of completed, incomplete, failed. Every event has the next sequence number; an
item is added once and done once.

Programs may rely on `response.output_item.done` alone, on the deltas alone, or on the last event alone, so each of
them contains everything.
"""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.chunks import joined_lists, unnumbered
from adapters.contract import Context, Envelope
from adapters.errors import GatewayError, Kind
from adapters.responses import answer as write
from adapters.responses.annotations import MEMBER, Annotation, taken_out
from adapters.responses.open_items import OpenItem
from adapters.responses.remembered import not_kept
from adapters.usage import latest_usage
from sidecar.v1 import inference_pb2 as pb

_MESSAGE = ("message", 0)
_ADDED_PART = "response.content_part.added"
_DONE_PART = "response.content_part.done"


class ResponseWriter:
    """The events of one answer. Raises upstream_protocol if a call continues after it was done."""

    def __init__(self, envelope: Envelope, context: Context) -> None:
        self._frame = write.Frame(envelope, context)
        self._head: Any = None  # the first chunk
        self._events = 0
        self._open: dict[tuple[str, int], OpenItem] = {}
        self._done: dict[int, write.Item] = {}  # by output_index
        self._calls_done: set[int] = set()
        self._items = 0
        self._out: list[bytes] = []
        self._usage = pb.Usage()
        self._rest = ""
        self._annotations: list[Annotation] = []  # before the text that they belong to
        self._finish = pb.FINISH_REASON_UNSPECIFIED
        self.whole = b""  # the response, once it is finished

    def feed(self, chunks: list[Any]) -> bytes:
        for chunk in chunks:
            if chunk.HasField("usage"):
                self._usage = latest_usage(self._usage, chunk.usage)
            self._start(chunk)
            for choice in chunk.choices:
                if choice.index == 0:  # the format has one
                    self._take(choice)
                    self._finish = choice.finish_reason or self._finish
        return self._taken()

    def end(self) -> bytes:
        return self.finish() + self.last()

    def finish(self) -> bytes:
        """Finishes open items. The last event follows."""
        if self._head is None:
            self._start(pb.StreamChatResponse())
        status, incomplete = write.ending(self._finish)
        for key in [*self._open]:
            self._close(key, status)
        output = self._output()
        if self._annotations:
            self._rest = joined_lists(self._rest, msgspec.json.encode({MEMBER: self._annotations}).decode())
        whole = self._frame.response(self._head, status, output, self._usage, incomplete=incomplete, rest=self._rest)
        self.whole = msgspec.json.encode(whole)
        return self._taken()

    def last(self, *, kept: bool = True) -> bytes:
        """`kept`: whether the answer could be stored as requested."""
        status, _ = write.ending(self._finish)
        self._event(f"response.{status}", response=msgspec.Raw(self.whole if kept else not_kept(self.whole)))
        return self._taken()

    def failed(self, error: GatewayError, request_id: str) -> bytes:
        """No program takes response.failed for success."""
        if self._head is None:
            self._start(pb.StreamChatResponse())
        for key in [*self._open]:
            self._close(key, "incomplete")
        found = {"code": error.code or str(error.kind), "message": error.message}
        usage = self._usage if self._usage.ListFields() else None
        self._event(
            "response.failed", response=self._frame.response(self._head, "failed", self._output(), usage, error=found)
        )
        return self._taken()

    def _output(self) -> list[write.Item]:
        return [self._done[number] for number in sorted(self._done)]

    def _taken(self) -> bytes:
        out, self._out = self._out, []
        return b"".join(out)

    def _event(self, name: str, **members: Any) -> None:
        data = msgspec.json.encode({"type": name, "sequence_number": self._events, **members})
        self._events += 1
        self._out.append(b"event: %b\ndata: %b\n\n" % (name.encode(), data))

    def _start(self, chunk: Any) -> None:
        if self._head is not None:
            return
        self._head = chunk
        for name in ("created", "in_progress"):
            self._event(f"response.{name}", response=self._frame.response(chunk, "in_progress", []))

    def _take(self, choice: pb.ChunkChoice) -> None:
        delta = choice.delta
        if delta.HasField("thinking"):
            self._think(delta.thinking)
        if delta.content:
            self._say("text", delta.content, choice)
        if delta.refusal:
            self._say("refusal", delta.refusal, choice)
        if delta.extra_json:
            found, rest = taken_out(unnumbered(delta.extra_json))
            self._rest = joined_lists(self._rest, rest) if rest else self._rest
            self._annotate(found)
        for call in delta.tool_calls:
            self._call(call)

    def _add(self, key: tuple[str, int], prefix: str) -> OpenItem:
        """Adds an item; complete open ones are finished first."""
        for other in [*self._open]:
            if other[0] != "call" or self._open[other].has_whole_arguments:
                self._close(other, "completed")
        item = self._open[key] = OpenItem(self._items, self._frame.new_id(prefix))
        self._items += 1
        return item

    def _added(self, item: OpenItem, shown: write.Item) -> None:
        self._event("response.output_item.added", output_index=item.number, item={**shown, "status": "in_progress"})

    # Reasoning

    def _think(self, delta: pb.ThinkingDelta) -> None:
        key = ("reasoning", delta.index)
        item = self._open.get(key)
        if item is None:
            item = self._add(key, "rs_")
            item.thought = pb.Thinking()
            shown = {"id": item.id, "type": "reasoning", "status": "in_progress", "summary": []}
            self._added(item, shown)
        assert item.thought is not None
        for name in ("signature", "redacted", "native_name", "format"):
            if delta.HasField(name):
                setattr(item.thought, name, getattr(delta, name))
        if not delta.text:
            return
        at = {"item_id": item.id, "output_index": item.number, "summary_index": 0}
        if not item.summary:
            item.summary = True
            self._event("response.reasoning_summary_part.added", **at, part={"type": "summary_text", "text": ""})
        item.texts.append(delta.text)
        self._event("response.reasoning_summary_text.delta", **at, delta=delta.text)

    def _close_reasoning(self, item: OpenItem, status: str) -> write.Item:
        assert item.thought is not None
        item.thought.text = "".join(item.texts)
        if item.summary:
            at = {"item_id": item.id, "output_index": item.number, "summary_index": 0}
            self._event("response.reasoning_summary_text.done", **at, text=item.thought.text)
            part = {"type": "summary_text", "text": item.thought.text}
            self._event("response.reasoning_summary_part.done", **at, part=part)
        return write.reasoning(self._frame, item.thought, item.id, status)

    # Messages

    def _say(self, kind: str, text: str, choice: pb.ChunkChoice) -> None:
        item = self._open.get(_MESSAGE)
        if item is None:
            item = self._add(_MESSAGE, "msg_")
            self._added(item, write.message(self._frame, [], "in_progress", item.id))
        if item.part != kind:
            self._close_part(item)
            item.part = kind
            empty = write.text_part("") if kind == "text" else write.refusal_part("")
            self._event(_ADDED_PART, **self._place(item), part=empty)
        item.texts.append(text)
        if self._annotations and kind == "text":
            waiting, self._annotations = self._annotations, []
            self._annotate(waiting)
        if kind == "refusal":
            self._event("response.refusal.delta", **self._place(item), delta=text)
            return
        found = write.logprobs(choice) if choice.HasField("logprobs") else []
        item.logprobs += found
        self._event("response.output_text.delta", **self._place(item), delta=text, logprobs=found)

    def _annotate(self, found: list[Annotation]) -> None:
        item = self._open.get(_MESSAGE)
        if item is None or item.part != "text":
            self._annotations += found
            return
        for each in found:
            place = {**self._place(item), "annotation_index": len(item.annotations)}
            self._event("response.output_text.annotation.added", **place, annotation=each)
            item.annotations.append(each)

    def _place(self, item: OpenItem) -> dict[str, Any]:
        return {"item_id": item.id, "output_index": item.number, "content_index": len(item.parts)}

    def _close_part(self, item: OpenItem) -> None:
        if not item.part:
            return
        text = "".join(item.texts)
        place = self._place(item)
        if item.part == "text":
            self._event("response.output_text.done", **place, text=text, logprobs=item.logprobs)
            part = write.text_part(text, item.logprobs, item.annotations)
        else:
            self._event("response.refusal.done", **place, refusal=text)
            part = write.refusal_part(text)
        self._event(_DONE_PART, **place, part=part)
        item.parts.append(part)
        item.texts, item.logprobs, item.annotations, item.part = [], [], [], ""

    # Calls

    def _call(self, delta: pb.ToolCallDelta) -> None:
        if delta.index in self._calls_done:
            raise GatewayError(Kind.UPSTREAM_PROTOCOL, "The provider continued a tool call that was complete.")
        key = ("call", delta.index)
        item = self._open.get(key)
        if item is None:
            custom = delta.HasField("custom_input") or delta.name in self._frame.names.customs
            item = self._add(key, "ctc_" if custom else "fc_")
            item.call = pb.ToolCall(id=delta.id or self._frame.new_id("call_"), name=delta.name)
            if delta.HasField("custom_input"):
                item.call.custom_input = ""
            shown = write.call(self._frame, item.call, item.id, "in_progress")
            shown["input" if custom else "arguments"] = ""
            self._added(item, shown)
        assert item.call is not None
        custom = item.call.HasField("custom_input")
        piece = delta.custom_input if custom else delta.arguments_json
        if not piece:
            return
        item.texts.append(piece)
        item.size += len(piece)
        # otherwise the text inside is sent once it is complete
        if custom or item.call.name not in self._frame.names.customs:
            kind = "custom_tool_call_input" if custom else "function_call_arguments"
            self._event(f"response.{kind}.delta", item_id=item.id, output_index=item.number, delta=piece)

    def _close_call(self, item: OpenItem, key: tuple[str, int], status: str) -> write.Item:
        assert item.call is not None
        self._calls_done.add(key[1])
        if item.call.HasField("custom_input"):
            item.call.custom_input = "".join(item.texts)
        else:
            item.call.arguments_json = "".join(item.texts)
        shown = write.call(self._frame, item.call, item.id, status)
        place = {"item_id": item.id, "output_index": item.number}
        if shown["type"] == "function_call":
            if not item.call.arguments_json:
                self._event("response.function_call_arguments.delta", **place, delta=shown["arguments"])
            self._event("response.function_call_arguments.done", **place, arguments=shown["arguments"])
            return shown
        if not item.call.HasField("custom_input") and shown["input"]:
            self._event("response.custom_tool_call_input.delta", **place, delta=shown["input"])
        self._event("response.custom_tool_call_input.done", **place, input=shown["input"])
        return shown

    def _close(self, key: tuple[str, int], status: str) -> None:
        item = self._open.pop(key)
        if key[0] == "reasoning":
            shown = self._close_reasoning(item, status)
        elif key[0] == "message":
            self._close_part(item)
            shown = write.message(self._frame, item.parts, status, item.id)
        else:
            shown = self._close_call(item, key, status)
        self._done[item.number] = shown
        self._event("response.output_item.done", output_index=item.number, item=shown)
