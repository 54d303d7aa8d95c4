"""Decodes `{"predictions": ...}`.

Texts: a list of strings, or an object that contains one, as its only member or as `choices` or `candidates` (as
MLflow's own gateways read it). Each string is a choice. Vectors: a list of them, or a single one.
"""

from __future__ import annotations

import msgspec

from adapters.contract import Context
from adapters.json_object import MALFORMED, Obj, object_text, of_answer
from adapters.plain_text_formats import chat_answer, completion_answer, embeddings_answer, texts
from sidecar.v1 import inference_pb2 as pb

_NAMED = ("choices", "candidates")
_VECTOR = msgspec.json.Decoder(list[float])


def decode_chat(body: bytes, context: Context) -> pb.ChatResponse:
    return chat_answer(*_texts_read(body, context))


def decode_completion(body: bytes, context: Context) -> pb.CompleteResponse:
    return completion_answer(*_texts_read(body, context))


def decode_embeddings(body: bytes, context: Context) -> pb.EmbedResponse:
    obj, raw = _predictions(body)
    try:
        single = bool(_VECTOR.decode(raw))
    except MALFORMED:
        single = False
    return embeddings_answer(b"[%b]" % raw if single else raw, "predictions", of_answer, context, obj.extra())


def _texts_read(body: bytes, context: Context) -> tuple[list[str], Context, str | None]:
    obj, raw = _predictions(body)
    if not raw.startswith(b"{"):
        return texts(raw, "predictions", of_answer), context, obj.extra()
    inner = Obj(raw, "predictions", of_answer)
    name = next(iter(inner.members)) if len(inner.members) == 1 else _named(inner)
    predictions = texts(inner.take(name) or b"", f"predictions.{name}", of_answer)
    return predictions, context, object_text(inner.members | obj.members)


def _named(inner: Obj) -> str:
    for name in _NAMED:
        if name in inner.members:
            return name
    raise of_answer("predictions", "a list of texts")


def _predictions(body: bytes) -> tuple[Obj, bytes]:
    obj = Obj(body, "", of_answer)
    raw = obj.take("predictions")
    if raw is None:
        raise of_answer("predictions", "there")
    return obj, raw
