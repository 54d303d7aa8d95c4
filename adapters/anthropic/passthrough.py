"""Passes a caller's body through to an upstream of this format, with `model` replaced, and the answer back after
checking it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from adapters.anthropic.answer import usage_of
from adapters.anthropic.count import count_url
from adapters.anthropic.failure import in_band_error
from adapters.anthropic.seal import without_foreign_thoughts
from adapters.anthropic.url import messages_url
from adapters.contract import Envelope, HttpCall, Target
from adapters.drop_in_bodies import without_member
from adapters.errors import GatewayError, Kind
from adapters.fit import Fit
from adapters.json_object import MALFORMED, OBJECTS, Obj, of_answer
from adapters.thought_envelope import MARK
from sidecar.v1 import inference_pb2 as pb

_NULL = msgspec.Raw(b"null")


class _Answer(msgspec.Struct):
    type: str = ""
    content: list[msgspec.Raw] | None = None
    usage: msgspec.Raw = _NULL


_ANSWERS = msgspec.json.Decoder(_Answer)


def patch_for(target: Target) -> Callable[[Envelope], HttpCall]:
    return _patch_to(target, messages_url(target))


def patch_count_for(target: Target) -> Callable[[Envelope], HttpCall]:
    return _patch_to(target, count_url(target))


def _patch_to(target: Target, url: str) -> Callable[[Envelope], HttpCall]:
    return lambda envelope: _patched(envelope, target, url)


def _patched(envelope: Envelope, target: Target, url: str) -> HttpCall:
    """Makes the call: `model` is the upstream's, what the route drops is removed, and reasoning of other providers
    are left out (the API refuses foreign signatures). All other members keep their bytes."""
    members: dict[str, bytes] = dict(envelope.members)
    members["model"] = msgspec.json.encode(target.model)
    fit = Fit(target)
    if MARK.encode() in members.get("messages", b""):
        members["messages"], thoughts = without_foreign_thoughts(members["messages"])
        fit.leave_out(*thoughts)
    for name in sorted(fit.drop):
        if without_member(members, name):
            fit.drops(name)
    body = b"{" + b",".join(msgspec.json.encode(name) + b":" + raw for name, raw in members.items()) + b"}"
    url = f"{url}?{envelope.query}" if envelope.query else url
    return HttpCall(url, body, callers_headers=envelope.headers, left_out=fit.left_out())


def check(body: bytes) -> pb.Usage | None:
    """Checks a whole answer. Raises upstream_protocol, or the provider's error in a 200."""
    try:
        if not body.isascii():
            body.decode()
        answer: Any = _ANSWERS.decode(body)
    except MALFORMED:
        raise of_answer("the body", "one JSON object of its format") from None
    if answer.type == "error":
        raise in_band_error(Obj(body, "", of_answer))
    if answer.content is None:
        raise GatewayError(Kind.UPSTREAM_PROTOCOL, "The provider's answer is not an assistant message.")
    usage = bytes(answer.usage)
    try:
        return None if usage == b"null" else usage_of(OBJECTS.decode(usage))
    except MALFORMED:
        raise of_answer("usage", "an object") from None
