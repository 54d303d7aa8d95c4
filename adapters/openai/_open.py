"""A caller's body, opened but not translated; and the same-format way: two edits, every other member keeps its bytes."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from adapters._contract import Envelope, HttpCall, Target
from adapters._errors import GatewayError, Kind
from adapters._json import MALFORMED, Obj, of_request

_OBJECTS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SPACE = b" \t\r\n"


def open_body(body: bytes) -> Envelope:
    """Raises invalid_request for anything but one JSON object with a `model`, and for a key that stands twice."""
    try:
        members = {name: bytes(raw) for name, raw in _OBJECTS.decode(body).items()}
        if not body.isascii():
            body.decode()
    except MALFORMED:
        raise _invalid("We could not parse the JSON body of your request: it must be one JSON object.", None) from None
    _refuse_twice(body, members)
    obj = Obj(b"{}", "", of_request)
    obj.members = {
        name: msgspec.Raw(members[name]) for name in ("model", "stream", "stream_options") if name in members
    }
    model = obj.string("model")
    if not model:
        raise _invalid("You must provide a model parameter: the name of a route.", "model")
    stream = obj.boolean("stream") or False
    options = obj.object("stream_options")
    return Envelope(members, model, stream, bool(options and options.boolean("include_usage")))


def _invalid(message: str, param: str | None) -> GatewayError:
    return GatewayError(Kind.INVALID_REQUEST, message, param=param)


def _refuse_twice(body: bytes, members: dict[str, bytes]) -> None:
    """msgspec keeps the last of two equal keys. Walking along the members it found tells: with a key twice they do not add
    up to the body. Costs a comparison of the body's bytes, not a second parse."""
    at = _skip(body, 0) + 1
    for name, raw in members.items():
        at = _skip(body, at)
        key = f'"{name}"'.encode()
        if not body.startswith(key, at):
            break
        at = _skip(body, _skip(body, at + len(key)) + 1)
        if not body.startswith(raw, at):
            break
        at = _skip(body, at + len(raw)) + 1
    else:
        if members and body[at - 1 : at] == b"}":
            return
        if not members:
            return
    # Escapes in a key, or a key twice: only now is it worth parsing everything.
    try:
        json.loads(body, object_pairs_hook=_no_key_twice)
    except _TwiceError as twice:
        raise _invalid(f"The key '{twice.key}' stands twice in the body.", twice.key) from None
    except (ValueError, RecursionError):
        raise _invalid("We could not parse the JSON body of your request.", None) from None


class _TwiceError(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise _TwiceError(key[:64])
        seen[key] = value
    return seen


def _skip(body: bytes, at: int) -> int:
    while at < len(body) and body[at] in _SPACE:
        at += 1
    return at


def apply_row(body: dict[str, Any], target: Target) -> dict[str, Any]:
    """The route's `drop_params` and the provider's quirks, on top-level members."""
    provider, dropped = target.provider, target.options.get("drop_params", ())
    for name in dropped:
        body.pop(name, None)
    for name in provider.forbidden:
        if name in body:
            raise GatewayError(
                Kind.UNSUPPORTED_PARAMETER,
                f"Provider '{provider.name}' does not take the parameter '{name}'.",
                param=name,
            )
    if provider.renamed:
        return {provider.renamed.get(name, name): value for name, value in body.items()}
    return body


def patcher(path: str) -> Any:
    """`patch` for one of OpenAI's paths."""

    def patch(envelope: Envelope, target: Target) -> HttpCall:
        members: dict[str, bytes] = dict(envelope.members)
        members["model"] = msgspec.json.encode(target.model)
        if envelope.stream and target.provider.include_usage:
            members["stream_options"] = _with_usage(members.get("stream_options"))
        members = apply_row(members, target)
        body = b"{" + b",".join(msgspec.json.encode(name) + b":" + raw for name, raw in members.items()) + b"}"
        return HttpCall(target.base_url + path, body)

    return patch


def _with_usage(options: bytes | None) -> bytes:
    """stream_options with include_usage true; other members keep their bytes."""
    if options is None or options == b"null":
        return b'{"include_usage":true}'
    members = {**_OBJECTS.decode(options), "include_usage": msgspec.Raw(b"true")}
    return msgspec.json.encode(members)


def encode_error(type_: str, message: str, param: str | None, code: str | None) -> bytes:
    return msgspec.json.encode({"error": {"message": message, "type": type_, "param": param, "code": code}})


def encode_stream_error(type_: str, message: str, param: str | None, code: str | None) -> bytes:
    return b"data: " + encode_error(type_, message, param, code) + b"\n\n"
