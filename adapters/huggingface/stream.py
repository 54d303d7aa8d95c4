"""/generate_stream of Text Generation Inference: one event per token, the last one with the whole text. There is no
[DONE]."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.contract import Context, Target
from adapters.huggingface.failure import protocol
from adapters.huggingface.generate import logprobs, open_object, read_details
from adapters.sse import Event
from sidecar.v1 import inference_pb2 as pb


class CompletionDecoder:
    """Ends with the event that has the whole text. Special tokens (end of text) are not part of it."""

    def __init__(self, target: Target, context: Context) -> None:
        self.done = False
        self.repeats = False  # each event has its own numbers
        self._head = pb.StreamCompleteResponse(id=context.new_id("cmpl-"), created=context.now_s, model=context.model)

    def feed(self, event: Event) -> list[Any]:
        if self.done or not event.data:
            return []
        obj = open_object(event.data)
        token, whole = obj.object("token"), obj.string("generated_text")
        if token is None:
            raise protocol("an event without a token")
        obj.take("index")
        chunk = pb.StreamCompleteResponse()
        chunk.CopyFrom(self._head)
        choice = chunk.choices.add(index=0)
        top = obj.take("top_tokens")
        if top is not None and top != b"[]":
            choice.logprobs_json = logprobs(msgspec.json.encode([token.members]), b"[" + top + b"]")
        if not token.boolean("special"):
            choice.text = token.string("text") or ""
        details = obj.object("details")
        if whole is not None:
            self.done = True
            if details is not None:
                read_details(details, choice, chunk)
        if (extra := obj.extra()) is not None:
            chunk.extra_json = extra
        has_content = (
            choice.text or choice.finish_reason or choice.HasField("logprobs_json") or chunk.HasField("extra_json")
        )
        return [chunk] if has_content or self.done else []

    def close(self) -> list[Any]:
        if not self.done:
            raise protocol("its stream ended before the whole text")
        return []
