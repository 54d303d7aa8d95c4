"""Text completions through /v1/generate (https://docs.cohere.com/v1/reference/generate), which streams lines of
JSON.

Cohere itself shut it down in September 2025; private deployments and older clouds still serve it. Counts are billed
units, the only ones that the endpoint gives.
"""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.cohere.answer import add_usage, failed, finish_reason, inner, read_usage
from adapters.cohere.chat_answer import open_answer
from adapters.cohere.failure import in_band, protocol
from adapters.cohere.places import GENERATE_PLACES
from adapters.cohere.url import url_of
from adapters.contract import Context, HttpCall, Target
from adapters.fit import Fit
from adapters.fit_request import fit_completion
from adapters.json_object import Obj, merge_extra, of_answer
from adapters.plain_text_formats import only_prompt
from adapters.refusals import plain_fields
from adapters.sse import Event
from sidecar.v1 import inference_pb2 as pb

_PLAIN = (
    ("temperature", "temperature"),
    ("top_p", "p"),
    ("seed", "seed"),
    ("frequency_penalty", "frequency_penalty"),
    ("presence_penalty", "presence_penalty"),
    ("max_tokens", "max_tokens"),
    ("n", "num_generations"),
)
_OWNED = frozenset({"model", "prompt", "stream", "stop_sequences", *(theirs for _, theirs in _PLAIN)})


def encode(request: pb.CompleteRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    fit = Fit(target)
    request = fit_completion(request, GENERATE_PLACES, fit)
    body: dict[str, Any] = {"model": target.model, "prompt": only_prompt(request, fit)}
    body |= plain_fields(request, _PLAIN)
    if stream:
        body["stream"] = True
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    body = merge_extra(body, request.extra_json, "", _OWNED)
    return HttpCall(url_of(target, "/v1/generate"), msgspec.json.encode(body), left_out=fit.left_out())


def decode(body: bytes, context: Context) -> pb.CompleteResponse:
    obj = open_answer(body)
    generations = obj.array("generations")
    if generations is None:
        raise protocol("it has no generations")
    answer = pb.CompleteResponse(
        id=obj.string("id") or context.new_id("cmpl-"), created=context.now_s, model=context.model
    )
    for i, (raw, path) in enumerate(generations):
        generation = Obj(raw, path, of_answer)
        into = answer.choices.add()
        index = generation.integer("index")
        into.index = i if index is None else index
        text = generation.string("text")
        if text is None:
            raise protocol(f"{path} has no text")
        into.text = text
        _finish_choice(generation, into)
        if (extra := generation.extra()) is not None:
            into.extra_json = extra
    _finish(obj, answer)
    return answer


def _finish_choice(obj: Obj, into: pb.CompletionChoice) -> None:
    native = obj.string("finish_reason") or ""
    if failed(native):
        raise in_band(obj)
    into.finish_reason = finish_reason(native)
    into.native_finish_reason = native


def _finish(obj: Obj, answer: Any) -> None:
    obj.members.pop("prompt", None)  # repeats the request
    if (meta := inner(obj, "meta")) is not None:
        add_usage(answer, read_usage(meta))
        if rest := meta.extra():
            obj.members["meta"] = msgspec.Raw(rest.encode())
    if (extra := obj.extra()) is not None:
        answer.extra_json = extra


class CompletionDecoder:
    """A stream of lines: pieces of text, then stream-end with all generations once more."""

    def __init__(self, target: Target, context: Context) -> None:
        self.done = False
        self.repeats = False  # its events are lines
        self._head = pb.StreamCompleteResponse(id=context.new_id("cmpl-"), created=context.now_s, model=context.model)

    def feed(self, event: Event) -> list[Any]:
        if self.done:
            return []
        obj = open_answer(event.data)
        name = obj.string("event_type") or ""
        if name == "stream-error":
            raise in_band(obj)
        if name == "stream-end" or (not name and obj.boolean("is_finished")):
            return self._end(obj)
        text = obj.string("text")
        if text is None:
            if not name:
                raise protocol("a line that is no event")
            return []
        return [self._chunk([pb.CompletionChoice(index=obj.integer("index") or 0, text=text)])]

    def close(self) -> list[Any]:
        if not self.done:
            raise protocol("its stream ended before stream-end")
        return []

    def _end(self, obj: Obj) -> list[Any]:
        whole = obj.object("response")
        generations = whole.array("generations") if whole is not None else None
        choices = []
        for i, (raw, path) in enumerate(generations or ()):
            generation = Obj(raw, path, of_answer)
            index = generation.integer("index")
            choice = pb.CompletionChoice(index=i if index is None else index)
            generation.take("text")
            _finish_choice(generation, choice)
            if (extra := generation.extra()) is not None:
                choice.extra_json = extra
            choices.append(choice)
        if len(choices) <= 1:
            choices = choices or [pb.CompletionChoice(index=0)]
            if not choices[0].finish_reason:
                _finish_choice(obj, choices[0])
        if not all(choice.finish_reason for choice in choices):
            raise protocol("a stream-end without a finish reason")
        self.done = True
        last = self._chunk(choices)
        if whole is not None:
            whole.take("id")
            _finish(whole, last)
        return [last]

    def _chunk(self, choices: list[pb.CompletionChoice]) -> pb.StreamCompleteResponse:
        head = self._head
        return pb.StreamCompleteResponse(id=head.id, created=head.created, model=head.model, choices=choices)
