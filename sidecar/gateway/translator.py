"""A stream's bytes to what its caller gets: the provider's own events, or chunks, written as the caller reads them."""

from __future__ import annotations

from typing import Any

from adapters import Decoder, Task, has_output, latest_usage, tier_word
from sidecar.domain.call import Call, Piece
from sidecar.gateway.attempt import PreparedCall
from sidecar.gateway.repeats import Repeats, Written
from sidecar.v1 import inference_pb2 as pb

# Chunks without output that are kept for the caller before the first output: more of them tell nothing new.
_SILENT_CHUNKS_MAX = 1_000


class Translator:
    """`take` gives what came of the bytes that were fed: bytes for a caller of REST; for one of a typed service a message's bytes
    each, or chunks where it has not said how they are `written`."""

    def __init__(self, prepared: PreparedCall, call: Call, decoder: Decoder, written: Written | None) -> None:
        self._parser = prepared.side.framing()
        self._decoder = decoder
        self._passes = prepared.passes
        self._written = written
        self._joins = call.client_format is not None
        as_json = written if self._joins else None
        self._repeats = Repeats(decoder, prepared.side.framing, passes=prepared.passes, written=as_json)
        self._looks = prepared.passes or written is not None
        self._wants_usage = call.envelope is not None and call.envelope.include_usage
        self._raw: list[bytes] = []
        self._chunks: list[Any] = []
        self.output = False
        self.held_bytes = 0  # fed since the last event: of one that is not whole yet
        self.usage: Any = None
        self.service_tier = ""
        self._reads_tier = prepared.plan.prices_tiers and call.task is Task.CHAT
        self.events = 0  # with output; counted for calls that break off
        self.chars = 0

    @property
    def done(self) -> bool:
        return self._decoder.done

    def feed(self, data: bytes) -> None:
        """b"" is the end of the body. Raises GatewayError; what came before it in `data` can still be taken."""
        if data and self._repeats.known and self._parser.between:
            data = self._feed_repeats(data)
            if not data:
                return
        self.held_bytes += len(data)
        for event in self._parser.feed(data) if data else self._parser.close():
            self.held_bytes = 0
            if self._repeats.known and self._repeat(event.raw):
                if self._passes:
                    self._raw.append(event.raw)
                continue
            chunks = self._decoder.feed(event)
            self._keep(chunks, b"" if self._decoder.done and not chunks else event.raw, counts=bool(event.data))
            if self._decoder.done:
                return
            if self.output and self._looks:
                self._repeats.note(event.raw)
        if not data:
            self._keep(self._decoder.close(), b"", counts=True)

    def _feed_repeats(self, data: bytes) -> bytes:
        """Events that repeat known ones, from the start of `data`. What is left of it."""
        at = 0
        while (end := data.find(b"\n\n", at) + 2) > 1 and self._repeat(data[at:end]):
            at = end
        if at and self._passes:
            self._raw.append(data[:at])
        return data[at:]

    def _repeat(self, event: bytes) -> bool:
        """What comes of an event that repeats a known one. False: it does not."""
        texts = self._repeats.texts(event)
        if texts is None:
            return False
        if not self._passes:
            piece, chars = self._repeats.write(texts)
            self._chunks.append(piece)
            self.chars += chars
        self.events += 1
        return True

    def _keep(self, chunks: list[Any], raw: bytes, *, counts: bool) -> None:
        """`counts`: it may be output. A comment is none."""
        only_usage = False
        if not (self._passes or self.output) and len(self._chunks) >= _SILENT_CHUNKS_MAX:
            chunks = [chunk for chunk in chunks if has_output(chunk) or chunk.HasField("usage")]
        for chunk in chunks:
            if chunk.HasField("usage"):
                self.usage = latest_usage(self.usage, chunk.usage)
                only_usage = not chunk.choices
            if self._reads_tier and chunk.service_tier:
                self.service_tier = tier_word(chunk.service_tier) or self.service_tier
            if not self.output and has_output(chunk):
                self.output = True
            if not self._passes:
                self.chars += _output_chars(chunk)
        self.events += bool(chunks) or (counts and bool(raw))
        if not self._passes:
            self._chunks.extend(chunks)
        elif raw and not (only_usage and not self._wants_usage):
            self._raw.append(raw)

    def take(self) -> Piece:
        """What has come since the last time; falsy if nothing."""
        if self._passes:
            raw, self._raw = self._raw, []
            return b"".join(raw)
        chunks, self._chunks = self._chunks, []
        if self._written is None:
            return chunks
        pieces = [each if type(each) is bytes else self._written(each) for each in chunks]
        return b"".join(pieces) if self._joins else pieces


def _output_chars(chunk: Any) -> int:
    """Of text, thinking and arguments."""
    count = 0
    for choice in chunk.choices:
        if isinstance(choice, pb.CompletionChoice):
            count += len(choice.text)
            continue
        delta = choice.delta
        count += len(delta.content) + len(delta.refusal)
        if delta.tool_calls:
            count += sum(len(each.arguments_json) + len(each.custom_input) for each in delta.tool_calls)
        if delta.HasField("thinking"):
            count += len(delta.thinking.text)
    return count
