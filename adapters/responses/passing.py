"""Passes a caller's body through to an upstream with OpenAI's Responses API, with `model` replaced, and the answer
back after checking it. All features of OpenAI's work: its own tools, stored responses, unknown events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from adapters.contract import Envelope, HttpCall, Target
from adapters.drop_in_bodies import without_member
from adapters.errors import GatewayError, Kind
from adapters.fit import Fit
from adapters.json_object import MALFORMED, of_answer
from adapters.openai import in_band, usage_of
from adapters.responses.sealed import without_foreign_thoughts
from adapters.sse import Event
from adapters.urls import query_of
from sidecar.v1 import inference_pb2 as pb

_DEPLOYMENTS = "/openai/deployments/"
_VERSIONED_SINCE = "2025-03-01"
_NULL = msgspec.Raw(b"null")
ENDS = frozenset({"response.completed", "response.incomplete"})
FAILURES = frozenset({"response.failed", "error"})


def takes_responses(target: Target) -> bool:
    """Whether the upstream has this API, which Azure's older versions lack."""
    version: str = target.options.get("query", {}).get("api-version", "")
    return not (version[:1].isdigit() and version < _VERSIONED_SINCE)


def responses_url(target: Target, below: str = "") -> str:
    """Azure's deployments have separate chat completions, but share this path."""
    base, deployments, _ = target.base_url.partition(_DEPLOYMENTS)
    return base + ("/openai" if deployments else "") + "/responses" + below + query_of(target)


def model_of(target: Target) -> str:
    """The model in the body: for Azure's deployments, the name in their URL."""
    deployment: str | None = target.options.get("deployment")
    return target.model if deployment is None else deployment


def patch_for(target: Target) -> Callable[[Envelope], HttpCall]:
    return patch_to(target, responses_url(target))


def patch_to(target: Target, url: str) -> Callable[[Envelope], HttpCall]:
    return lambda envelope: _patched(envelope, target, url)


def _patched(envelope: Envelope, target: Target, url: str) -> HttpCall:
    members: dict[str, bytes] = dict(envelope.members)
    members["model"] = msgspec.json.encode(model_of(target))
    fit = Fit(target)
    for name in sorted(fit.drop):
        if without_member(members, name):
            fit.drops(name)
    if "input" in members:
        members["input"], thoughts = without_foreign_thoughts(members["input"])
        fit.leave_out(*thoughts)
    body = b"{" + b",".join(msgspec.json.encode(name) + b":" + raw for name, raw in members.items()) + b"}"
    return HttpCall(url, body, left_out=fit.left_out())


class _Answer(msgspec.Struct):
    output: list[msgspec.Raw] | None = None
    status: str = ""
    usage: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL
    service_tier: msgspec.Raw = _NULL


class _Event(msgspec.Struct):
    type: str = ""
    response: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL


_ANSWERS = msgspec.json.Decoder(_Answer)
_EVENTS = msgspec.json.Decoder(_Event)


def read_answer(body: bytes) -> Any:
    """Returns `output`, `status`, `usage`, `error` and `service_tier` of a response.

    Raises upstream_protocol, or the provider's error in a 200.
    """
    try:
        if not body.isascii():
            body.decode()
        answer = _ANSWERS.decode(body)
    except MALFORMED:
        raise of_answer("the body", "one JSON object of its format") from None
    if bytes(answer.error) != b"null":
        raise in_band(bytes(answer.error))
    if answer.output is None:
        raise GatewayError(Kind.UPSTREAM_PROTOCOL, "The provider's answer is not a response with its output.")
    return answer


def check(body: bytes) -> pb.Usage | None:
    """Checks a whole answer. A background response has no output yet, and is valid."""
    return usage_of(bytes(read_answer(body).usage))


def read_event(event: Event) -> tuple[str, Any]:
    """Returns type and members of an event. Raises upstream_protocol, or the provider's error if the event reports
    a failure."""
    try:
        if not event.data.isascii():
            event.data.decode()
        found = _EVENTS.decode(event.data)
    except MALFORMED:
        raise of_answer("an event", "one JSON object of its format") from None
    kind = found.type or event.name
    if kind == "error":  # OpenAI's has its members next to the type, others have them in an object
        raise in_band(bytes(found.error) if bytes(found.error) != b"null" else event.data)
    if kind == "response.failed":
        raise in_band(_reason(bytes(found.response)))
    return kind, found


def _reason(response: bytes) -> bytes:
    """The error of a failed response; null if there is none."""
    try:
        return bytes(_ANSWERS.decode(response).error)
    except MALFORMED:
        return b"null"
