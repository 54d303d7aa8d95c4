"""Observes streams that pass through: only end, failures, first output and usage are read."""

from __future__ import annotations

import re
from typing import Any

from adapters.chunks import has_output
from adapters.contract import Context, Target
from adapters.errors import GatewayError, Kind
from adapters.openai import usage_of
from adapters.responses.passing import ENDS, FAILURES, read_answer, read_event
from adapters.responses.provider_answer import EventDecoder
from adapters.service_tier import tier_of_json
from adapters.sse import Event
from sidecar.v1 import inference_pb2 as pb

# Progress of OpenAI's tools, which people see before there is text.
_PROGRESS = re.compile(r"_call\.|list_tools\.")


class Observer:
    """Reads end, failures, first output and usage like the full decoder, which it wraps up to the first output.
    After that, other events are only examined by name."""

    def __init__(self, full: EventDecoder) -> None:
        self.done = False
        self.repeats = False  # each event has its own number
        self._full = full
        self._output = False

    def feed(self, event: Event) -> list[Any]:
        if self.done or not event.data:
            return []
        if not self._output:
            chunks = self._full.feed(event)
            self.done = self._full.done
            self._output = _PROGRESS.search(event.name) is not None or any(has_output(chunk) for chunk in chunks)
            return chunks if chunks or not self._output else [_piece(pb.ChunkChoice(delta=pb.Delta(content=" ")))]
        if event.name and event.name not in ENDS and event.name not in FAILURES:
            return []
        kind, found = read_event(event)
        if kind not in ENDS:
            return []
        self.done = True
        return [self._end(bytes(found.response))]

    def _end(self, response: bytes) -> pb.StreamChatResponse:
        chunk = _piece(pb.ChunkChoice(finish_reason=pb.FINISH_REASON_STOP))
        answer = read_answer(response)
        if (usage := usage_of(bytes(answer.usage))) is not None:
            chunk.usage.CopyFrom(usage)
        if tier := tier_of_json(answer.service_tier):
            chunk.service_tier = tier
        return chunk

    def close(self) -> list[Any]:
        if not self.done:
            raise GatewayError(Kind.UPSTREAM_PROTOCOL, "The provider's stream ended before its last event.")
        return []


def observe(target: Target, context: Context) -> Observer:
    return Observer(EventDecoder(target, context))


def _piece(choice: pb.ChunkChoice) -> pb.StreamChatResponse:
    return pb.StreamChatResponse(choices=[choice])
