"""Observes streams that pass through: only end marker, errors, first output and usage are read.

The rules are those of the full decoder, which it wraps: up to the first output, every event goes through it, and
after that every event that is not clearly of the format.
"""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.chunks import has_output
from adapters.contract import Context, Target
from adapters.json_object import MALFORMED
from adapters.openai.finish_and_usage import usage_of
from adapters.openai.stream import DONE, ChatDecoder, CompletionDecoder, StreamDecoder
from adapters.service_tier import tier_of_json
from adapters.sse import Event
from sidecar.v1 import inference_pb2 as pb

_NULL = msgspec.Raw(b"null")


class _Piece(msgspec.Struct):
    index: int = 0
    finish_reason: str | None = None
    error: msgspec.Raw = _NULL


class _Chunk(msgspec.Struct):
    choices: list[_Piece] | None = None
    usage: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL
    service_tier: msgspec.Raw = _NULL


_CHUNKS = msgspec.json.Decoder(_Chunk)


class Observer:
    """Only returns chunks up to the first output and for usage; their deltas are empty after that."""

    __slots__ = ("_full", "_output", "repeats")

    def __init__(self, full: StreamDecoder) -> None:
        self._full = full
        self.repeats = False  # what it remembers, that a choice has come and has finished, never changes back
        self._output = False

    @property
    def done(self) -> bool:
        return self._full.done

    def close(self) -> list[Any]:
        return self._full.close()

    def feed(self, event: Event) -> list[Any]:
        self.repeats = False
        data = event.data.strip()
        if not data or self._full.done:
            return []
        if data == DONE or event.name or not self._output:
            return self._fully(event)
        try:
            if not data.isascii():
                data.decode()
            chunk = _CHUNKS.decode(data)
        except MALFORMED:
            return self._fully(event)
        if bytes(chunk.error) != b"null":
            return self._fully(event)
        pieces = chunk.choices or ()
        for piece in pieces:
            if bytes(piece.error) != b"null":
                return self._fully(event)
        for piece in pieces:
            self._full.progress(piece.index, piece.finish_reason)
        chunks = self._usage(chunk, pieces) if chunk.usage is not _NULL else []
        self.repeats = not chunks
        return chunks

    def _fully(self, event: Event) -> list[Any]:
        chunks = self._full.feed(event)
        self._output = self._output or any(has_output(chunk) for chunk in chunks)
        return chunks

    def _usage(self, read: _Chunk, pieces: Any) -> list[Any]:
        usage = usage_of(bytes(read.usage))
        if usage is None:
            return []
        chunk = self._full.empty_chunk()
        chunk.usage.CopyFrom(usage)
        if (tier := tier_of_json(read.service_tier)) and isinstance(chunk, pb.StreamChatResponse):
            chunk.service_tier = tier
        for piece in pieces:
            chunk.choices.add(index=piece.index)
        return [chunk]


def observe_chat(target: Target, context: Context) -> Observer:
    return Observer(ChatDecoder(target, context))


def observe_completion(target: Target, context: Context) -> Observer:
    return Observer(CompletionDecoder(target, context))
