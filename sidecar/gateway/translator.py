"""Turns the bytes of a stream into what the caller receives: the provider's own events, or chunks encoded for the
caller."""

from __future__ import annotations

from typing import Any

from adapters import Decoder, Task, has_output, latest_usage, tier_word
from sidecar.domain.call import Call, Piece
from sidecar.gateway.attempt import PreparedCall
from sidecar.gateway.repeats import ChunkEncoder, Repeats
from sidecar.v1 import inference_pb2 as pb

# Chunks without output that are buffered before the first output; more of them carry no information.
_SILENT_CHUNKS_MAX = 1_000


class Translator:
    """Translates one stream. Feed it bytes with `feed` and collect the result with `take`.

    A REST caller gets bytes. A typed service gets a list: the bytes of one message each, or chunks if there is no
    `encode_chunk`.
    """

    def __init__(self, prepared: PreparedCall, call: Call, decoder: Decoder, encode_chunk: ChunkEncoder | None) -> None:
        self._parser = prepared.side.framing()
        self._decoder = decoder
        self._passes = prepared.passes
        self._encode_chunk = encode_chunk
        self._joins = call.client_format is not None
        as_json = encode_chunk if self._joins else None
        self._repeats = Repeats(decoder, prepared.side.framing, passes=prepared.passes, encode_chunk=as_json)
        self._learns = prepared.passes or encode_chunk is not None
        self._wants_usage = call.envelope is not None and call.envelope.include_usage
        self._raw: list[bytes] = []
        self._chunks: list[Any] = []
        self.output = False
        self.held_bytes = 0  # bytes fed since the last complete event
        self.usage: Any = None
        self.service_tier = ""
        self._reads_tier = prepared.plan.prices_tiers and call.task is Task.CHAT
        self.events = 0  # events with output; basis for charging a call that breaks off
        self.chars = 0

    @property
    def done(self) -> bool:
        return self._decoder.done

    def feed(self, data: bytes) -> None:
        """Feeds bytes; b"" is the end of the body. Raises GatewayError; what preceded the error can still be taken."""
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
            if self.output and self._learns:
                self._repeats.learn(event.raw)
        if not data:
            self._keep(self._decoder.close(), b"", counts=True)

    def _feed_repeats(self, data: bytes) -> bytes:
        """Handles events at the start of `data` that match known templates. Returns the rest of `data`."""
        at = 0
        if self._passes and 1 < data.find(b"\n\n") + 2 < len(data):
            count, at = self._repeats.run(data)
            self.events += count
        while (end := data.find(b"\n\n", at) + 2) > 1 and self._repeat(data[at:end]):
            at = end
        if at and self._passes:
            self._raw.append(data[:at])
        return data[at:]

    def _repeat(self, event: bytes) -> bool:
        """Handles an event if it matches a known template. Returns whether it does."""
        texts = self._repeats.match(event)
        if texts is None:
            return False
        if not self._passes:
            piece, chars = self._repeats.write(texts)
            self._chunks.append(piece)
            self.chars += chars
        self.events += 1
        return True

    def _keep(self, chunks: list[Any], raw: bytes, *, counts: bool) -> None:
        """Keeps chunks, or the raw event if it passes through. `counts` is False for a comment, which is not output."""
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
        """Returns what has come in since the last call; falsy if nothing has."""
        if self._passes:
            raw, self._raw = self._raw, []
            return b"".join(raw)
        chunks, self._chunks = self._chunks, []
        if self._encode_chunk is None:
            return chunks
        pieces = [each if type(each) is bytes else self._encode_chunk(each) for each in chunks]
        return b"".join(pieces) if self._joins else pieces


def _output_chars(chunk: Any) -> int:
    """Counts the characters of text, thinking and tool arguments."""
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
