"""Embeddings of /v1/embed and /v2/embed (https://docs.cohere.com/reference/embed), whose requests and answers are
alike.

The API requires `input_type` (search_document, search_query, classification, clustering), which only the caller
knows. It is taken from extra_json, else from the upstream's `input_type`; without either, the call is refused by
name. The API returns vectors by type. Of several types, the first (float before all others) becomes the answer, and
the others stay in extra_json.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

import msgspec

from adapters.cohere.answer import add_usage, inner, read_usage
from adapters.cohere.chat_answer import open_answer
from adapters.cohere.failure import protocol
from adapters.cohere.places import EMBED_PLACES
from adapters.cohere.url import url_of
from adapters.contract import Context, HttpCall, ProviderSide, Target
from adapters.fit import Fit
from adapters.fit_request import fit_embeddings
from adapters.json_object import MALFORMED, Obj, array_items, decoded_string, merge_extra, of_answer
from adapters.refusals import invalid
from sidecar.v1 import inference_pb2 as pb

_OWNED = frozenset({"model", "texts", "output_dimension"})
_VECTOR = msgspec.json.Decoder(list[float])
_TYPES = {pb.EmbedRequest.ENCODING_FLOAT: "float", pb.EmbedRequest.ENCODING_BASE64: "base64"}
_FLOAT, _PACKED = "float", "base64"


def embed_side(path: str) -> ProviderSide:
    """Embeddings at one of the API's two paths."""
    return ProviderSide(encode=_encoder(path), decode=decode, stream=None)


def _encoder(path: str) -> Callable[[pb.EmbedRequest, Target, bool, Context], HttpCall]:
    def encode(request: pb.EmbedRequest, target: Target, stream: bool, context: Context) -> HttpCall:
        fit = Fit(target)
        body = _body(fit_embeddings(request, EMBED_PLACES, fit), fit)
        return HttpCall(url_of(target, path), msgspec.json.encode(body), left_out=fit.left_out())

    return encode


def _body(request: pb.EmbedRequest, fit: Fit) -> dict[str, Any]:
    if not request.inputs:
        raise invalid("input", "at least one text is needed")
    body: dict[str, Any] = {"model": fit.target.model, "texts": _texts(request, fit)}
    if request.HasField("dimensions"):
        body["output_dimension"] = request.dimensions
    body = merge_extra(body, request.extra_json, "", _OWNED)
    if request.encoding:
        if "embedding_types" in body or request.encoding not in _TYPES:
            raise invalid("encoding_format", "must be float or base64, and not together with embedding_types")
        body["embedding_types"] = [_TYPES[request.encoding]]
    if "input_type" not in body:
        wanted = fit.target.options.get("input_type")
        if not wanted:
            why = "the provider needs it: search_document, search_query, classification or clustering"
            raise invalid("input_type", f"{why}. Set it in the request, or as input_type in the route's model.config")
        body["input_type"] = wanted
    return body


def _texts(request: pb.EmbedRequest, fit: Fit) -> list[str]:
    out = []
    for i, each in enumerate(request.inputs):
        match each.WhichOneof("input"):
            case "text":
                out.append(each.text)
            case "tokens":
                raise fit.unsupported(f"input[{i}]", "it accepts texts, not token ids")
            case _:
                raise invalid(f"input[{i}]", "is empty")
    return out


def decode(body: bytes, context: Context) -> pb.EmbedResponse:
    obj = open_answer(body)
    answer = pb.EmbedResponse(model=context.model)
    obj.take("response_type")
    raw = obj.take("embeddings")
    if raw is None:
        raise protocol("it has no embeddings")
    if raw.startswith(b"["):  # version 1 without embedding_types
        _read(raw, "embeddings", _FLOAT, answer)
    else:
        by_type = Obj(raw, "embeddings", of_answer)
        kinds = [name for name in by_type.members if bytes(by_type.members[name]) != b"null"]
        kind = _FLOAT if _FLOAT in kinds else kinds[0] if kinds else ""
        if not kind:
            raise protocol("it has no embeddings")
        _read(by_type.take(kind) or b"", f"embeddings.{kind}", kind, answer)
        if rest := by_type.extra():
            obj.members["embeddings"] = msgspec.Raw(rest.encode())
    if (meta := inner(obj, "meta")) is not None:
        add_usage(answer, read_usage(meta))
        if rest := meta.extra():
            obj.members["meta"] = msgspec.Raw(rest.encode())
    if (extra := obj.extra()) is not None:
        answer.extra_json = extra
    return answer


def _read(raw: bytes, path: str, kind: str, answer: pb.EmbedResponse) -> None:
    for i, (vector, at) in enumerate(array_items(raw, path, of_answer)):
        into = answer.embeddings.add(index=i)
        try:
            if kind == _PACKED:
                into.packed = base64.b64decode(decoded_string(vector, at, of_answer), validate=True)
            else:
                into.values.values.extend(_VECTOR.decode(vector))
        except (*MALFORMED, binascii.Error, ValueError):
            raise of_answer(at, "a vector") from None
