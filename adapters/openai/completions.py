"""Text completions, both directions."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.contract import Context, Envelope, HttpCall, Target
from adapters.errors import GatewayError, Kind
from adapters.fit import Fit
from adapters.fit_request import fit_completion
from adapters.json_object import MALFORMED, Obj, array_items, beneath, decoded_string, merge_extra, of_answer, raw_json
from adapters.openai import field_tables
from adapters.openai.body_edits import apply_row
from adapters.openai.chat_answer import event, open_answer, read_head, usage_event, write_head
from adapters.openai.chat_request import check_n, envelope_object, read_stream_options, read_strings, write_streaming
from adapters.openai.failure import no_answer, protocol, refuse_error
from adapters.openai.finish_and_usage import read_finish, write_finish, write_usage
from adapters.urls import url_of
from sidecar.v1 import inference_pb2 as pb

_MODELLED = field_tables.names(field_tables.COMPLETIONS) | {"model", "prompt", "stop", "stream", "stream_options"}
_TOKENS = msgspec.json.Decoder(list[int])


def decode_request(envelope: Envelope) -> pb.CompleteRequest:
    obj = envelope_object(envelope)
    request = pb.CompleteRequest(route=envelope.model)
    for text, tokens in read_texts(obj, "prompt"):
        request.prompts.add(**({"text": text} if tokens is None else {"tokens": pb.Tokens(ids=tokens)}))
    field_tables.read(obj, request, field_tables.COMPLETIONS)
    request.stop.extend(read_strings(obj, "stop"))
    read_stream_options(obj, request)
    if (extra := obj.extra()) is not None:
        request.extra_json = extra
    check_n(request)
    return request


def read_texts(obj: Obj, name: str) -> list[tuple[str, list[int] | None]]:
    """A string, an array of strings, an array of tokens, or an array of those: (text, None) or ("", tokens) each."""
    raw = obj.take(name)
    if not raw:
        raise obj.refusal(obj.at(name), "a string or an array")
    path = obj.at(name)
    if raw.startswith(b'"'):
        return [(decoded_string(raw, path, obj.refusal), None)]
    items = array_items(raw, path, obj.refusal)
    if not items:
        raise obj.refusal(path, "a string or an array that is not empty")
    if items[0][0][:1] not in (b'"', b"["):
        return [("", _tokens(raw, path, obj))]
    return [
        (decoded_string(item, at, obj.refusal), None) if item.startswith(b'"') else ("", _tokens(item, at, obj))
        for item, at in items
    ]


def _tokens(raw: bytes, path: str, obj: Obj) -> list[int]:
    try:
        tokens = _TOKENS.decode(raw)
    except MALFORMED:
        tokens = [-1]
    if any(not 0 <= token < 2**31 for token in tokens):
        raise obj.refusal(path, "an array of token ids")
    return tokens


def encode(request: pb.CompleteRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    if not request.prompts:
        raise GatewayError(Kind.INVALID_REQUEST, "'prompts' must have at least one prompt.", param="prompts")
    check_n(request)
    fit = Fit(target)
    request = fit_completion(request, None, fit, target.provider.leaves)
    out: dict[str, Any] = {"model": target.model, "prompt": write_texts(request.prompts, "prompt", "prompts")}
    field_tables.write(request, field_tables.COMPLETIONS, out)
    if request.stop:
        out["stop"] = list(request.stop)
    write_streaming(request, target, stream, out)
    out = merge_extra(out, request.extra_json, "", _MODELLED)
    body = msgspec.json.encode(apply_row(out, target))
    return HttpCall(url_of(target, "/completions"), body, left_out=fit.left_out())


def write_texts(texts: Any, oneof: str, path: str) -> Any:
    """One text as a string, several as an array."""
    out: list[Any] = []
    for i, text in enumerate(texts):
        match text.WhichOneof(oneof):
            case "text":
                out.append(text.text)
            case "tokens":
                out.append(list(text.tokens.ids))
            case _:
                raise GatewayError(Kind.INVALID_REQUEST, f"'{path}[{i}]' is empty.", param=f"{path}[{i}]")
    return out[0] if len(out) == 1 else out


def decode(body: bytes, context: Context) -> pb.CompleteResponse:
    obj = open_answer(body)
    answer = pb.CompleteResponse()
    read_head(obj, answer, context)
    choices = obj.array("choices")
    if choices is None:
        raise no_answer(body, "choices")
    for raw, path in choices:
        choice = Obj(raw, path, of_answer)
        refuse_error(choice)
        into = answer.choices.add()
        into.index = choice.integer("index") or 0
        text = choice.string("text")
        if text is None:
            raise protocol(f"{path} has no text")
        into.text = text
        if (logprobs := choice.json("logprobs")) is not None:
            into.logprobs_json = logprobs
        read_finish(choice, into)
        if (extra := choice.extra()) is not None:
            into.extra_json = extra
    if (extra := obj.extra()) is not None:
        answer.extra_json = extra
    return answer


def encode_response(answer: pb.CompleteResponse) -> bytes:
    out = write_head(answer, "text_completion")
    out["choices"] = [_write_choice(choice) for choice in answer.choices]
    if answer.HasField("usage"):
        out["usage"] = write_usage(answer.usage)
    return msgspec.json.encode(beneath(out, answer.extra_json))


def encode_chunk(chunk: pb.StreamCompleteResponse, wants_usage: bool) -> bytes:
    head = write_head(chunk, "text_completion")
    data = b""
    if chunk.choices or chunk.extra_json:
        body = {**head, "choices": [_write_choice(choice) for choice in chunk.choices]}
        if wants_usage:
            body["usage"] = None
        data = event(beneath(body, chunk.extra_json))
    return data + usage_event(chunk, head, wants_usage)


def _write_choice(choice: pb.CompletionChoice) -> dict[str, Any]:
    logprobs = raw_json(choice.logprobs_json, "logprobs") if choice.HasField("logprobs_json") else None
    out = {"index": choice.index, "text": choice.text, "logprobs": logprobs}
    return beneath(write_finish(choice, out), choice.extra_json)
