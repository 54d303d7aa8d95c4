"""A caller's body, opened but not translated; and the same-format way: two edits, every other member keeps its bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import msgspec

from adapters.call_ids import identified_in_body
from adapters.contract import Envelope, HttpCall, Target
from adapters.drop_in_bodies import without_member
from adapters.echoes_in_bodies import strip_messages
from adapters.errors import GatewayError, Kind
from adapters.fit import Fit
from adapters.json_object import BYTE_ORDER_MARK, MALFORMED, OBJECTS, STRINGS, Obj, of_request
from adapters.members import HINTS, Member
from adapters.openai.calls_from_elsewhere import completed_calls_in_body
from adapters.openai.empty_turns import without_empty_turns_in_body
from adapters.openai.roles import DEVELOPER, knows_developer, with_system_in_body
from adapters.refusals import unsupported
from adapters.surrogates import may_have_halves, without_halves
from adapters.tool_ids import fit_ids_in_body
from adapters.urls import names_model, url_of

_SPACE = re.compile(rb"[ \t\r\n]*")
# OpenAI knows about 40 parameters of chat; a body of millions of members would hold up everybody else for seconds.
_MEMBERS_MAX = 1000
# Hints below the top, but for the name of a speaker, which depends on the role (echoes_in_bodies).
_NESTED_HINTS = frozenset(name for name in HINTS if "." in name) - {"messages[].name"}
_SMALL_BYTES = 4096
_STREAM_OPTIONS_SINCE = "2024-09-01"
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def open_body(body: bytes) -> Envelope:
    """Raises invalid_request for anything but one JSON object with a `model`, and for a key that stands twice."""
    members = open_members(body)
    obj = Obj(b"{}", "", of_request)
    if (raw := members.get("model")) is not None:
        obj.members = {"model": msgspec.Raw(raw)}
    model = obj.string("model")
    if not model:
        raise _invalid("You must provide a model parameter: the name of a route.", "model")
    stream, include_usage = read_streaming(members)
    return Envelope(members, model, stream, include_usage)


def open_deployment_body(body: bytes) -> Envelope:
    """The same where the path names the route: a `model` in the body does not count. The envelope's is empty."""
    members = open_members(body)
    stream, include_usage = read_streaming(members)
    return Envelope(members, "", stream, include_usage)


def open_plain_body(body: bytes) -> Envelope:
    """The same for formats without `stream_options`: their streams always end with usage."""
    members = open_members(body)
    obj = Obj(b"{}", "", of_request)
    obj.members = {name: msgspec.Raw(members[name]) for name in ("model", "stream") if name in members}
    model = obj.string("model")
    if not model:
        raise _invalid("'model' is required: the name of a route.", "model")
    return Envelope(members, model, obj.boolean("stream") or False, include_usage=True)


def read_streaming(members: Mapping[str, bytes]) -> tuple[bool, bool]:
    """Whether the answer is to be streamed, and whether the caller wants the usage chunk."""
    obj = Obj(b"{}", "", of_request)
    obj.members = {name: msgspec.Raw(members[name]) for name in ("stream", "stream_options") if name in members}
    stream = obj.boolean("stream") or False
    options = obj.object("stream_options")
    return stream, bool(options and options.boolean("include_usage"))


def open_members(body: bytes) -> dict[str, bytes]:
    """The top-level members with their bytes. Raises invalid_request, without `param` where the body is no JSON object."""
    body = body.removeprefix(BYTE_ORDER_MARK)
    if may_have_halves(body):
        body = without_halves(body)  # JavaScript and Python write half a character, and parsers refuse it
    try:
        members = {name: bytes(raw) for name, raw in OBJECTS.decode(body).items()}
        if not body.isascii():
            body.decode()
    except MALFORMED:
        raise _invalid("We could not parse the JSON body of your request: it must be one JSON object.", None) from None
    if len(members) > _MEMBERS_MAX:
        raise _invalid(f"The body has more than {_MEMBERS_MAX} members.", None)
    _refuse_twice(body, members)
    return members


def _invalid(message: str, param: str | None) -> GatewayError:
    return GatewayError(Kind.INVALID_REQUEST, message, param=param)


def _refuse_twice(body: bytes, members: dict[str, bytes]) -> None:
    """msgspec keeps the last of two equal keys. Walking along the members it found tells: it names keys in the order of their
    first appearance, so with a key twice the walk meets a key or a value that is not the next one. Costs a comparison of the
    body's bytes, not a second parse. A small body in which nothing is escaped, and each key stands once, needs no walk."""
    if (
        len(body) <= _SMALL_BYTES
        and b"\\" not in body
        and all(body.count(f'"{name}"'.encode()) == 1 for name in members)
    ):
        return
    at = _past_space(body, 0) + 1
    for name, raw in members.items():
        at = _past_space(body, at)
        key_end, found = _key(body, at, name)
        if found != name:
            raise _twice(found)
        at = _past_space(body, _past_space(body, key_end) + 1)
        if not body.startswith(raw, at):
            raise _twice(name)
        at = _past_space(body, at + len(raw))
        if body[at : at + 1] not in (b",", b"}"):  # the last value is only the beginning of this one
            raise _twice(name)
        at += 1
    if members and body[at - 1 : at] != b"}":
        raise _twice(_key(body, _past_space(body, at), "")[1])


def _key(body: bytes, at: int, expected: str) -> tuple[int, str]:
    """Where the key that starts at `at` ends, and what it says."""
    plain = f'"{expected}"'.encode()
    if body.startswith(plain, at):
        return at + len(plain), expected
    match = _STRING.match(body, at)
    assert match is not None  # msgspec has read the body: a key stands here
    return match.end(), STRINGS.decode(match[0])


def _twice(key: str) -> GatewayError:
    return _invalid(f"The key '{key[:64]}' stands twice in the body.", key[:64])


def _past_space(body: bytes, at: int) -> int:
    if at >= len(body) or body[at] > 0x20:
        return at
    match = _SPACE.match(body, at)
    return match.end() if match is not None else at


def apply_row(body: dict[str, Any], target: Target) -> dict[str, Any]:
    """The route's `drop_params` and the provider's quirks, on top-level members."""
    provider = target.provider
    for name in target.options.get("drop_params", ()):
        body.pop(name, None)  # of what the gateway itself has added
    for name in provider.forbidden:
        if body.get(name, b"null") != b"null":
            raise unsupported(provider.name, name, drop_as=name)
    if provider.takes is not None:
        for name in [name for name in body if name not in provider.takes]:
            if body.pop(name) not in (None, b"null"):
                raise unsupported(provider.name, name, drop_as=name)
    for old, new in provider.renamed.items():
        if old in body and new in body:
            raise _invalid(f"Give either '{old}' or '{new}': provider '{provider.name}' knows one of them.", old)
    if names_model(target):
        body.pop("model", None)
    if provider.renamed:
        return {provider.renamed.get(name, name): value for name, value in body.items()}
    return body


def understands_usage(target: Target) -> bool:
    """Whether stream_options may be sent. Azure's versions before this one refuse it."""
    version: str = target.options.get("query", {}).get("api-version", "")
    return target.provider.include_usage and not (version[:1].isdigit() and version < _STREAM_OPTIONS_SINCE)


def patcher(path: str, table: Mapping[str, Member]) -> Callable[[Envelope, Target], HttpCall]:
    """`patch` for one of OpenAI's paths."""

    def patch(envelope: Envelope, target: Target) -> HttpCall:
        members: dict[str, bytes] = dict(envelope.members)
        members["model"] = msgspec.json.encode(target.model)
        if DEVELOPER in members.get("messages", b"") and not knows_developer(target):
            members["messages"] = with_system_in_body(members["messages"])
        if "messages" in members:
            members["messages"] = identified_in_body(members["messages"])
        if (form := target.provider.options.get("tool_ids")) is not None and "messages" in members:
            members["messages"] = fit_ids_in_body(members["messages"], form)
        if envelope.stream and understands_usage(target):
            members["stream_options"] = _with_usage(members.get("stream_options"))
        elif target.provider.options.get("usage_unasked") and "stream_options" in members:
            _forget_usage(members)
        left_out = _leave_out(members, table, target)
        if (messages := members.get("messages")) is not None:
            messages = completed_calls_in_body(messages, target, members.get("thinking", b""))
            members["messages"] = without_empty_turns_in_body(messages, target)
        members = apply_row(members, target)
        return HttpCall(url_of(target, path), _written(members), left_out=left_out)

    return patch


def _written(members: Mapping[str, bytes]) -> bytes:
    """Copies a large member once."""
    parts = [b"{"]
    for name, raw in members.items():
        parts += (msgspec.json.encode(name), b":", raw, b",")
    parts[-1] = b"}"
    return b"".join(parts)


def _leave_out(members: dict[str, bytes], table: Mapping[str, Member], target: Target) -> tuple[str, ...]:
    """Takes out what the provider's row leaves out, where it asks for nothing, and what the route drops. The names of it."""
    leaves = target.provider.leaves
    echoes: tuple[str, ...] = ()
    knows, messages = target.provider.options.get("turns_know"), members.get("messages", b"")
    if (knows is not None and b'"assistant"' in messages) or (leaves and _mentions(messages, leaves)):
        members["messages"], echoes = strip_messages(messages, leaves, knows)
    nested = [name for name in leaves & _NESTED_HINTS if _may_have(members, name)]
    if not (echoes or nested or target.options.get("drop_params")) and leaves.isdisjoint(members):
        return ()
    fit = Fit(target)
    fit.leave_out_echoes(echoes)
    for name in sorted(fit.drop):
        if without_member(members, name):
            fit.drops(name)
    for name in sorted(nested):
        if without_member(members, name):
            fit.leave_out(name)
    for name in [name for name in members if name in leaves]:
        row = table.get(name)
        if row is None or (row.asks(msgspec.json.decode(members[name])) and not _chooses_among_none(name, members)):
            continue  # what it asks is the provider's to refuse, in its own words
        if members.pop(name) != b"null":
            fit.leave_out(name)
    return fit.left_out()


def _chooses_among_none(name: str, members: Mapping[str, bytes]) -> bool:
    """How to choose among no tools asks for nothing."""
    if members.get("tools", b"[]") not in (b"[]", b"null"):
        return False
    return name == "parallel_tool_calls" or (name == "tool_choice" and members[name] in (b'"auto"', b'"none"'))


def _mentions(raw: bytes, leaves: frozenset[str]) -> bool:
    """Whether a member of such a name may be there: where none is, nothing has to be opened."""
    return any(word in raw for word in _words_of(leaves))


@cache
def _words_of(leaves: frozenset[str]) -> tuple[bytes, ...]:
    return tuple({f'"{name.rpartition(".")[2]}"'.encode() for name in leaves})


def _may_have(members: dict[str, bytes], name: str) -> bool:
    head = name.partition(".")[0].removesuffix("[]")
    return f'"{name.rpartition(".")[2]}"'.encode() in members.get(head, b"")


def _with_usage(options: bytes | None) -> bytes:
    """stream_options with include_usage true; other members keep their bytes."""
    if options is None or options == b"null":
        return b'{"include_usage":true}'
    members = {**OBJECTS.decode(options), "include_usage": msgspec.Raw(b"true")}
    return msgspec.json.encode(members)


def _forget_usage(members: dict[str, bytes]) -> None:
    """Takes include_usage out: these providers send usage unasked, and Mistral and Databricks refuse to be asked."""
    options = members.pop("stream_options")
    if options == b"null":
        return
    kept = {name: raw for name, raw in OBJECTS.decode(options).items() if name != "include_usage"}
    if kept:
        members["stream_options"] = msgspec.json.encode(kept)


def encode_error(type_: str, message: str, param: str | None, code: str | None) -> bytes:
    return msgspec.json.encode({"error": {"message": message, "type": type_, "param": param, "code": code}})


def encode_stream_error(type_: str, message: str, param: str | None, code: str | None) -> bytes:
    return b"data: " + encode_error(type_, message, param, code) + b"\n\n"
