"""A streamed answer of POST /v1/messages: events in, chunks out (https://docs.anthropic.com/en/docs/build-with-claude/streaming).

What has no place in a chunk is kept in extra_json: members of the message at the chunk's top (as in a unary answer); blocks of
server tools, whole once they end, in the delta as `content_blocks`; deltas of a kind we do not know as `content_block_deltas`;
events of a kind we do not know in the chunk as `events`. Pings carry nothing and are passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adapters.anthropic.answer import MESSAGE, finish_reason, joined, service_tier, usage_of
from adapters.anthropic.blocks import Block, Numbers, open_block
from adapters.anthropic.failure import in_band_error
from adapters.anthropic.json import Members, Raw, count, inner, member, object_text, opened, string
from adapters.contract import Context, Target
from adapters.errors import GatewayError, Kind
from adapters.sse import Event
from sidecar.v1 import inference_pb2 as pb


class ChatDecoder:
    """The state of one stream. `feed` raises GatewayError for an error event or for what is not of the format."""

    def __init__(self, target: Target, context: Context) -> None:
        self.done = False
        self._context = context
        self._started = False
        self._head = pb.StreamChatResponse()
        self._open: dict[int, Block] = {}
        self._numbers = Numbers()
        self._usage: Members = {}
        self._native_finish = ""
        self._extra: Members = {}
        self._steps: dict[str, Callable[[Members], list[pb.StreamChatResponse]]] = {
            "message_start": self._message_start,
            "content_block_start": self._block_start,
            "content_block_delta": self._block_delta,
            "content_block_stop": self._block_stop,
            "message_delta": self._message_delta,
            "message_stop": self._message_stop,
            "ping": lambda members: [],
        }

    def feed(self, event: Event) -> list[Any]:
        if self.done or not event.data:  # a comment, which keeps the connection alive
            return []
        members = opened(event.data, "an event")
        name = string(members, "type") or event.name
        if name == "error":
            raise in_band_error(members)
        if name not in self._steps:
            return self._unknown(event)
        if not self._started and name not in ("message_start", "ping"):
            raise _protocol(f"{name} before message_start")
        return self._steps[name](members)

    def close(self) -> list[Any]:
        if not self.done:
            raise _protocol("the end of the body before message_stop")
        return []

    def _message_start(self, members: Members) -> list[pb.StreamChatResponse]:
        if self._started:
            raise _protocol("a second message_start")
        message = inner(members, "message")
        self._started = True
        self._usage = inner(message, "usage")
        self._extra = {name: raw for name, raw in message.items() if name not in MESSAGE}
        self._native_finish = string(message, "stop_reason")
        self._head.id = string(message, "id") or self._context.new_id("msg_")
        self._head.created = self._context.now_s
        self._head.model = string(message, "model")
        first = self._chunk(pb.Delta(role=pb.ROLE_ASSISTANT))
        tier = service_tier(self._usage)
        if tier:
            first.service_tier = tier
        return [first]

    def _block_start(self, members: Members) -> list[pb.StreamChatResponse]:
        index = self._index(members)
        if index in self._open:
            raise _protocol(f"a second content_block_start for block {index}")
        raw = member(members, "content_block")
        if raw is None:
            raise _protocol("a content_block_start without a block")
        self._open[index] = open_block(raw, self._numbers)
        return self._chunks(self._open[index].start())

    def _block_delta(self, members: Members) -> list[pb.StreamChatResponse]:
        index = self._index(members)
        if index not in self._open:
            raise _protocol(f"a delta for block {index}, which is not open")
        raw = member(members, "delta")
        if raw is None:
            raise _protocol("a content_block_delta without a delta")
        return self._chunks(self._open[index].extend(raw))

    def _block_stop(self, members: Members) -> list[pb.StreamChatResponse]:
        block = self._open.pop(self._index(members), None)
        if block is None:
            raise _protocol("a content_block_stop for a block that is not open")
        return self._chunks(block.stop())

    def _message_delta(self, members: Members) -> list[pb.StreamChatResponse]:
        delta = inner(members, "delta")
        self._native_finish = string(delta, "stop_reason") or self._native_finish
        beside = {name: raw for name, raw in members.items() if name not in ("type", "delta", "usage")}
        self._extra |= {name: raw for name, raw in delta.items() if name != "stop_reason"} | beside
        # Cumulative counts: the later ones hold, each by itself, because older servers repeat only output_tokens.
        usage = inner(members, "usage")
        self._usage |= {name: raw for name, raw in usage.items() if member(usage, name) is not None}
        return []

    def _message_stop(self, members: Members) -> list[pb.StreamChatResponse]:
        if not self._native_finish:
            raise _protocol("message_stop without a stop reason")
        if self._open:
            raise _protocol("message_stop inside a content block")
        self.done = True
        finish = self._chunk(pb.Delta())
        finish.choices[0].finish_reason = finish_reason(self._native_finish)
        finish.choices[0].native_finish_reason = self._native_finish
        extra = joined(self._extra)
        if extra:
            finish.extra_json = extra
        usage = usage_of(self._usage)
        return [finish] if usage is None else [finish, self._headed(usage=usage)]

    def _unknown(self, event: Event) -> list[pb.StreamChatResponse]:
        if not self._started:
            return []  # the first chunk must carry id and model, which are not known yet
        return [self._headed(extra_json=object_text({"events": [Raw(event.data)]}))]

    def _index(self, members: Members) -> int:
        index = count(members, "index")
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
    return GatewayError(Kind.UPSTREAM_PROTOCOL, f"the provider's stream is broken: {what}")
