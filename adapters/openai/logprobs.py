"""Log probabilities of tokens, both directions."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.json_object import MALFORMED, Obj
from sidecar.v1 import inference_pb2 as pb

_BYTES = msgspec.json.Decoder(list[int])


def read_logprobs(choice: Obj, into: Any) -> None:
    """Reads the logprobs of a choice if they have OpenAI's chat format; otherwise they stay in the choice's
    extra_json."""
    raw = choice.members.get("logprobs")
    if raw is None or not bytes(raw).startswith(b"{") or b'"content"' not in bytes(raw):
        return
    obj = choice.object("logprobs")
    if obj is None:
        return
    into.logprobs.SetInParent()
    for name, tokens in (("content", into.logprobs.content), ("refusal", into.logprobs.refusal)):
        for token in obj.objects(name):
            _read_token(token, tokens.add())


def _read_token(obj: Obj, into: pb.TokenLogprob) -> None:
    into.token = obj.string("token") or ""
    into.logprob = obj.number("logprob") or 0.0
    raw = obj.take("bytes")
    if raw is not None:
        try:
            into.utf8 = bytes(_BYTES.decode(raw))
        except (*MALFORMED, ValueError):
            raise obj.refusal(obj.at("bytes"), "an array of bytes") from None
    for top in obj.objects("top_logprobs"):
        _read_token(top, into.top.add())


def write_logprobs(choice: Any) -> dict[str, Any] | None:
    if not choice.HasField("logprobs"):
        return None
    content = [_write_token(token, with_top=True) for token in choice.logprobs.content]
    refusal = [_write_token(token, with_top=True) for token in choice.logprobs.refusal]
    return {"content": content or None, "refusal": refusal or None}


def _write_token(token: pb.TokenLogprob, *, with_top: bool) -> dict[str, Any]:
    out: dict[str, Any] = {
        "token": token.token,
        "logprob": token.logprob,
        "bytes": list(token.utf8) if token.HasField("utf8") else None,
    }
    if with_top:
        out["top_logprobs"] = [_write_token(top, with_top=False) for top in token.top]
    return out
