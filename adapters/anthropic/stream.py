"""Decodes a streamed answer of POST /v1/messages (https://docs.anthropic.com/en/docs/build-with-claude/streaming).

What a chunk has no field for is kept in extra_json: members of the message at the chunk's top level (as in a unary
answer); blocks of server tools, once complete, in the delta as `content_blocks`; unknown deltas as
`content_block_deltas`; unknown events in the chunk as `events`. Pings are skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from adapters.anthropic.answer import finish_reason, usage_of
from adapters.anthropic.failure import in_band_error
from adapters.anthropic.stream_blocks import Block, Numbers, open_block
from adapters.contract import Context, Target
from adapters.errors import GatewayError, Kind
from adapters.json_object import Obj, object_text, of_answer
from adapters.sse import Event
from sidecar.v1 import inference_pb2 as pb


class ChatDecoder:
    """The state of one stream. `feed` raises GatewayError for an error event, or for anything that is not of the
    format."""

    def __init__(self, target: Target, context: Context) -> None:
        self.done = False
        self.repeats = False
        self._target = target
        self._context = context
        self._started = False
        self._head = pb.StreamChatResponse()
        self._open: dict[int, Block] = {}
        self._numbers = Numbers()
        self._usage: dict[str, msgspec.Raw] = {}
        self._native_finish = ""
        self._extra: dict[str, msgspec.Raw] = {}
        self._steps: dict[str, Callable[[Obj], list[pb.StreamChatResponse]]] = {
            "message_start": self._message_start,
            "content_block_start": self._block_start,
            "content_block_delta": self._block_delta,
            "content_block_stop": self._block_stop,
            "message_delta": self._message_delta,
            "message_stop": self._message_stop,
            "ping": lambda event: [],
        }

    def feed(self, event: Event) -> list[Any]:
        self.repeats = False
        if self.done or not event.data:  # a comment that keeps the connection alive
            return []
        obj = Obj(event.data, "", of_answer)
        name = obj.string("type") or event.name
        if name == "error":
            raise in_band_error(obj)
        if name not in self._steps:
            return self._unknown(event)
        if not self._started and name not in ("message_start", "ping"):
            raise _protocol(f"{name} before message_start")
        return self._steps[name](obj)

    def close(self) -> list[Any]:
        """Handles the end of the body, which ends the stream without message_stop if the target's stream_end allows
        it."""
        if self.done:
            return []
        ends = {"finish": bool(self._native_finish) and not self._open, "close": self._started}
        if not ends.get(self._target.stream_end, False):
            raise _protocol("the end of the body before message_stop")
        return self._end()

    def _message_start(self, event: Obj) -> list[pb.StreamChatResponse]:
        if self._started:
            raise _protocol("a second message_start")
        message = event.object("message") or Obj(b"{}", "message", of_answer)
        usage = message.object("usage")
        self._started = True
        self._native_finish = message.string("stop_reason") or ""
        self._head.id = message.string("id") or self._context.new_id("msg_")
        self._head.created = self._context.now_s
        self._head.model = message.string("model") or ""
        first = self._chunk(pb.Delta(role=pb.ROLE_ASSISTANT))
        if usage is not None:
            if tier := usage.string("service_tier"):
                first.service_tier = tier
            self._usage = usage.members
        for name in ("type", "role", "content"):  # constant or empty members
            message.take(name)
        self._extra = message.members
        return [first]

    def _block_start(self, event: Obj) -> list[pb.StreamChatResponse]:
        index = self._index(event)
        if index in self._open:
            raise _protocol(f"a second content_block_start for block {index}")
        raw = event.take("content_block")
        if raw is None:
            raise _protocol("a content_block_start without a block")
        self._open[index] = open_block(raw, self._numbers)
        return self._chunks(self._open[index].start())

    def _block_delta(self, event: Obj) -> list[pb.StreamChatResponse]:
        index = self._index(event)
        if index not in self._open:
            raise _protocol(f"a delta for block {index}, which is not open")
        raw = event.take("delta")
        if raw is None:
            raise _protocol("a content_block_delta without a delta")
        chunks = self._chunks(self._open[index].extend(raw))
        # What goes into extra_json may be numbered; text, reasoning and arguments only extend their block.
        self.repeats = len(chunks) == 1 and not chunks[0].choices[0].delta.HasField("extra_json")
        return chunks

    def _block_stop(self, event: Obj) -> list[pb.StreamChatResponse]:
        block = self._open.pop(self._index(event), None)
        if block is None:
            raise _protocol("a content_block_stop for a block that is not open")
        return self._chunks(block.stop())

    def _message_delta(self, event: Obj) -> list[pb.StreamChatResponse]:
        delta, usage = event.object("delta"), event.object("usage")
        if delta is not None:
            self._native_finish = delta.string("stop_reason") or self._native_finish
            self._extra |= delta.members
        self._extra |= event.members
        if usage is not None:
            # Counts are cumulative. Each later one applies individually, because older servers only repeat
            # output_tokens.
            self._usage |= {name: raw for name, raw in usage.members.items() if bytes(raw) != b"null"}
        return []

    def _message_stop(self, event: Obj) -> list[pb.StreamChatResponse]:
        if not self._native_finish:
            raise _protocol("message_stop without a stop reason")
        if self._open:
            raise _protocol("message_stop inside a content block")
        return self._end()

    def _end(self) -> list[pb.StreamChatResponse]:
        self.done = True
        finish = self._chunk(pb.Delta())
        finish.choices[0].finish_reason = finish_reason(self._native_finish, answered=self._numbers.answered)
        finish.choices[0].native_finish_reason = self._native_finish
        extra = object_text(self._extra)
        if extra is not None:
            finish.extra_json = extra
        usage = usage_of(self._usage)
        return [finish] if usage is None else [finish, self._headed(usage=usage)]

    def _unknown(self, event: Event) -> list[pb.StreamChatResponse]:
        if not self._started:
            return []  # the first chunk must contain id and model, which are not known yet
        events = msgspec.json.encode({"events": [msgspec.Raw(event.data)]})
        return [self._headed(extra_json=events.decode("utf-8", "replace"))]

    def _index(self, event: Obj) -> int:
        index = event.integer("index")
        if index is None:
            raise _protocol("a content block event without an index")
        return index

    def _chunks(self, deltas: list[pb.Delta]) -> list[pb.StreamChatResponse]:
        return [self._chunk(delta) for delta in deltas]

    def _chunk(self, delta: pb.Delta) -> pb.StreamChatResponse:
        return self._headed(choices=[pb.ChunkChoice(index=0, delta=delta)])

    def _headed(self, **fields: Any) -> pb.StreamChatResponse:
        head = self._head
        return pb.StreamChatResponse(id=head.id, created=head.created, model=head.model, **fields)


def stream(target: Target, context: Context) -> ChatDecoder:
    return ChatDecoder(target, context)


def _protocol(what: str) -> GatewayError:
    return GatewayError(Kind.UPSTREAM_PROTOCOL, f"The provider's stream is broken: {what}.")
