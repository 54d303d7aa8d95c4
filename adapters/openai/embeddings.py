"""Embeddings, both directions."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from adapters.contract import Context, Envelope, HttpCall, Target
from adapters.errors import GatewayError, Kind
from adapters.fit import Fit
from adapters.fit_request import fit_embeddings
from adapters.json_object import MALFORMED, Obj, beneath, decoded_string, merge_extra, of_answer, of_request
from adapters.openai import field_tables
from adapters.openai.body_edits import apply_row
from adapters.openai.chat_answer import open_answer
from adapters.openai.chat_request import envelope_object
from adapters.openai.completions import read_texts, write_texts
from adapters.openai.failure import no_answer, protocol
from adapters.openai.finish_and_usage import read_usage, write_usage
from adapters.urls import url_of
from sidecar.v1 import inference_pb2 as pb

_ENCODINGS = {"float": pb.EmbedRequest.ENCODING_FLOAT, "base64": pb.EmbedRequest.ENCODING_BASE64}
_ENCODING_WORDS = {encoding: word for word, encoding in _ENCODINGS.items()}
_MODELLED = field_tables.names(field_tables.EMBEDDINGS) | {"model", "input", "encoding_format"}
_VECTOR = msgspec.json.Decoder(list[float])


def decode_request(envelope: Envelope) -> pb.EmbedRequest:
    obj = envelope_object(envelope)
    request = pb.EmbedRequest(route=envelope.model)
    for text, tokens in read_texts(obj, "input"):
        request.inputs.add(**({"text": text} if tokens is None else {"tokens": pb.Tokens(ids=tokens)}))
    field_tables.read(obj, request, field_tables.EMBEDDINGS)
    word = obj.string("encoding_format")
    if word is not None:
        if word not in _ENCODINGS:
            raise of_request("encoding_format", f"one of {', '.join(_ENCODINGS)}")
        request.encoding = _ENCODINGS[word]
    if (extra := obj.extra()) is not None:
        request.extra_json = extra
    return request


def encode(request: pb.EmbedRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    if not request.inputs:
        raise GatewayError(Kind.INVALID_REQUEST, "'inputs' must have at least one input.", param="inputs")
    fit = Fit(target)
    request = fit_embeddings(request, None, fit, target.provider.leaves)
    out: dict[str, Any] = {"model": target.model, "input": write_texts(request.inputs, "input", "inputs")}
    field_tables.write(request, field_tables.EMBEDDINGS, out)
    if request.encoding:
        if request.encoding not in _ENCODING_WORDS:
            raise of_request("encoding", "one of the encodings of EmbedRequest")
        out["encoding_format"] = _ENCODING_WORDS[request.encoding]
    out = merge_extra(out, request.extra_json, "", _MODELLED)
    body = msgspec.json.encode(apply_row(out, target))
    return HttpCall(url_of(target, "/embeddings"), body, left_out=fit.left_out())


def decode(body: bytes, context: Context) -> pb.EmbedResponse:
    obj = open_answer(body)
    answer = pb.EmbedResponse()
    obj.take("object")
    answer.model = obj.string("model") or ""
    if (usage := read_usage(obj, vectors=True)) is not None:
        answer.usage.CopyFrom(usage)
    vectors = obj.array("data")
    if vectors is None:
        raise no_answer(body, "data")
    for i, (raw, path) in enumerate(vectors):
        vector = Obj(raw, path, of_answer)
        into = answer.embeddings.add()
        index = vector.integer("index")
        into.index = i if index is None else index
        vector.take("object")
        _read_vector(vector, into)
        if (extra := vector.extra()) is not None:
            into.extra_json = extra
    if (extra := obj.extra()) is not None:
        answer.extra_json = extra
    return answer


def _read_vector(obj: Obj, into: pb.Embedding) -> None:
    raw = obj.take("embedding")
    path = obj.at("embedding")
    if raw is None:
        raise protocol(f"{path} is missing")
    try:
        if raw.startswith(b'"'):
            into.packed = base64.b64decode(decoded_string(raw, path, obj.refusal), validate=True)
        else:
            into.values.values.extend(_VECTOR.decode(raw))
    except (*MALFORMED, ValueError):  # base64 implies both
        raise obj.refusal(path, "a vector") from None


def encode_response(answer: pb.EmbedResponse) -> bytes:
    out: dict[str, Any] = {"object": "list", "model": answer.model}
    out["data"] = [_write_vector(each) for each in answer.embeddings]
    if answer.HasField("usage"):
        out["usage"] = write_usage(answer.usage)
        if answer.usage.HasField("input_tokens"):  # usage consists of the input
            out["usage"].setdefault("total_tokens", answer.usage.input_tokens)
    return msgspec.json.encode(beneath(out, answer.extra_json))


def _write_vector(each: pb.Embedding) -> dict[str, Any]:
    packed = each.WhichOneof("vector") == "packed"
    vector = base64.b64encode(each.packed).decode() if packed else list(each.values.values)
    return beneath({"object": "embedding", "index": each.index, "embedding": vector}, each.extra_json)
