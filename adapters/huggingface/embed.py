"""Embeddings of Text Embeddings Inference: its OpenAI path /v1/embeddings, which counts tokens, or /embed.

/embed is used if a request needs it (`truncate`, `normalize`, `prompt_name`, `truncation_direction` in extra_json,
which the other path ignores), or if the upstream sets `embeddings_api: embed`. Its answers have no counts.
"""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.contract import Context, HttpCall, Target, Task
from adapters.fit import Fit
from adapters.fit_request import fit_embeddings
from adapters.huggingface.chat import below_v1, root_of
from adapters.json_object import MALFORMED, Obj, array_items, merge_extra, of_answer, of_request
from adapters.openai import FORMAT as OPENAI
from adapters.refusals import invalid, plain_fields
from sidecar.v1 import inference_pb2 as pb

_EMBEDDINGS = OPENAI.provider[Task.EMBEDDINGS]
_EMBED_ONLY = frozenset({"normalize", "truncate", "truncation_direction", "prompt_name"})
_OWNED = frozenset({"inputs", "dimensions"})
# The members of a request that /embed supports (`adapters.members`); the gateway encodes vectors as encoding_format
# says.
_EMBED_PLACES = frozenset({"model", "input", "dimensions", "encoding_format"})
_VECTOR = msgspec.json.Decoder(list[float])


def encode(request: pb.EmbedRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    if not _by_embed(request, target):
        call: HttpCall = _EMBEDDINGS.encode(request, below_v1(target), stream, context)
        return call
    if not request.inputs:
        raise invalid("input", "at least one text is needed")
    fit = Fit(target)
    request = fit_embeddings(request, _EMBED_PLACES, fit)
    body: dict[str, Any] = {"inputs": [_input(each, i) for i, each in enumerate(request.inputs)]}
    body |= plain_fields(request, (("dimensions", "dimensions"),))
    # encoding: /embed only returns numbers; the gateway packs them for callers that asked for bytes
    # (adapters/vectors.py).
    body = merge_extra(body, request.extra_json, "", _OWNED)
    url = root_of(target) + "/embed"
    return HttpCall(url, msgspec.json.encode(body), left_out=fit.left_out())


def _by_embed(request: pb.EmbedRequest, target: Target) -> bool:
    if target.options.get("embeddings_api") == "embed":
        return True
    if not request.extra_json:
        return False
    members = Obj(request.extra_json.encode("utf-8", "surrogatepass"), "extra_json", of_request).members
    return not _EMBED_ONLY.isdisjoint(members)


def _input(each: pb.EmbedInput, index: int) -> Any:
    match each.WhichOneof("input"):
        case "text":
            return each.text
        case "tokens":
            return list(each.tokens.ids)
        case _:
            raise invalid(f"input[{index}]", "is empty")


def decode(body: bytes, context: Context) -> pb.EmbedResponse:
    """/embed returns a list of vectors, the other path OpenAI's object."""
    if not body.lstrip().startswith(b"["):
        answer: pb.EmbedResponse = _EMBEDDINGS.decode(body, context)
        return answer
    made = pb.EmbedResponse(model=context.model)
    for i, (raw, path) in enumerate(array_items(body, "the body", of_answer)):
        try:
            made.embeddings.add(index=i).values.values.extend(_VECTOR.decode(raw))
        except MALFORMED:
            raise of_answer(path, "a vector") from None
    return made
