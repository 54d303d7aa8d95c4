"""Opens a caller's body without translating it, and patches bodies that pass through: two edits, while all other
members keep their bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

import msgspec

from adapters.call_ids import identified_in_body
from adapters.contract import Envelope, HttpCall, Target
from adapters.echoes_in_bodies import strip_messages
from adapters.errors import GatewayError, Kind
from adapters.json_object import BYTE_ORDER_MARK, MALFORMED, OBJECTS, STRINGS, Obj, of_request
from adapters.members import HINTS, Member
from adapters.openai.arguments_as_objects import OPTION, written_as_objects
from adapters.openai.body_edits import apply_row, forget_usage, has_quirks, left_out_of, understands_usage, with_usage
from adapters.openai.calls_from_elsewhere import completed_calls_in_body
from adapters.openai.empty_turns import without_empty_turns_in_body
from adapters.openai.roles import DEVELOPER, knows_developer, with_system_in_body
from adapters.surrogates import may_have_halves, without_halves
from adapters.tool_arguments import NAME
from adapters.tool_ids import fit_ids_in_body
from adapters.urls import url_of

_SPACE = re.compile(rb"[ \t\r\n]*")
# OpenAI has about 40 chat parameters; a body with millions of members would block all other calls for seconds.
_MEMBERS_MAX = 1000
# Hints below the top level, except the name of a speaker, which depends on the role (echoes_in_bodies).
_NESTED_HINTS = frozenset(name for name in HINTS if "." in name) - {"messages[].name"}
_SMALL_BYTES = 4096
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def open_body(body: bytes) -> Envelope:
    """Raises invalid_request for anything but one JSON object with a `model`, and for a duplicate key."""
    members = open_members(body)
    try:
        model: str | None = STRINGS.decode(members.get("model", b""))
    except MALFORMED:
        model = _member(members, "model").string("model")
    if not model:
        raise _invalid("You must provide a model parameter: the name of a route.", "model")
    if "stream" in members or "stream_options" in members:
        return Envelope(members, model, *read_streaming(members))
    return Envelope(members, model, False, False)


def open_deployment_body(body: bytes) -> Envelope:
    """The same if the path names the route: a `model` in the body is ignored. The envelope's is empty."""
    members = open_members(body)
    stream, include_usage = read_streaming(members)
    return Envelope(members, "", stream, include_usage)


def open_plain_body(body: bytes) -> Envelope:
    """The same for formats without `stream_options`, whose streams always end with usage."""
    members = open_members(body)
    obj = _member(members, "model", "stream")
    model = obj.string("model")
    if not model:
        raise _invalid("'model' is required: the name of a route.", "model")
    return Envelope(members, model, obj.boolean("stream") or False, include_usage=True)


def read_streaming(members: Mapping[str, bytes]) -> tuple[bool, bool]:
    """Returns whether the answer is to be streamed, and whether the caller wants the usage chunk."""
    obj = _member(members, "stream", "stream_options")
    stream = obj.boolean("stream") or False
    options = obj.object("stream_options")
    return stream, bool(options and options.boolean("include_usage"))


def _member(members: Mapping[str, bytes], *names: str) -> Obj:
    """The named members, to be read."""
    obj = Obj(b"{}", "", of_request)
    obj.members = {name: msgspec.Raw(members[name]) for name in names if name in members}
    return obj


def open_members(body: bytes) -> dict[str, bytes]:
    """The top-level members with their bytes. Raises invalid_request, without `param` if the body is not a JSON
    object."""
    body = body.removeprefix(BYTE_ORDER_MARK)
    if b"\\u" in body and may_have_halves(body):
        body = without_halves(body)  # JavaScript and Python can write lone surrogates, which parsers refuse
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
    """Finds duplicate keys, of which msgspec keeps the last value.

    msgspec returns keys in order of first appearance, so walking along the body with them meets an unexpected key or
    value if there is a duplicate. This costs a comparison of the body's bytes rather than a second parse. A small
    body without escapes in which each key occurs once needs no walk.
    """
    if len(body) <= _SMALL_BYTES and b"\\" not in body:
        for name in members:
            if body.count(f'"{name}"'.encode()) != 1:
                break
        else:
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
    """Returns where the key that starts at `at` ends, and its text."""
    plain = f'"{expected}"'.encode()
    if body.startswith(plain, at):
        return at + len(plain), expected
    match = _STRING.match(body, at)
    assert match is not None  # msgspec has accepted the body, so there is a key here
    return match.end(), STRINGS.decode(match[0])


def _twice(key: str) -> GatewayError:
    return _invalid(f"Duplicate key '{key[:64]}' in the request body.", key[:64])


def _past_space(body: bytes, at: int) -> int:
    if at >= len(body) or body[at] > 0x20:
        return at
    match = _SPACE.match(body, at)
    return match.end() if match is not None else at


def patcher(path: str, table: Mapping[str, Member]) -> Callable[[Target], Callable[[Envelope], HttpCall]]:
    """`patch_for` for one of OpenAI's paths."""
    return lambda target: _Patch(path, table, target)


class _Patch:
    """What bodies for one upstream have in common: the relevant parts of its row, looked up once."""

    __slots__ = (
        "_completes_calls",
        "_developer",
        "_drops",
        "_empty_turns",
        "_ids",
        "_knows",
        "_model",
        "_nested",
        "_objects",
        "_quirks",
        "_table",
        "_target",
        "_url",
        "_usage",
        "_words",
    )

    def __init__(self, path: str, table: Mapping[str, Member], target: Target) -> None:
        provider = target.provider
        self._target = target
        self._table = table
        self._url = url_of(target, path)
        self._model = msgspec.json.encode(target.model)
        self._developer = knows_developer(target)
        self._knows = provider.options.get("turns_know")
        self._ids = provider.options.get("tool_ids")
        self._completes_calls = "calls_want" in provider.options
        self._objects = OPTION in provider.options
        self._empty_turns = "refuses_empty_turns" in provider.options
        self._usage = understands_usage(target)
        self._drops = bool(target.options.get("drop_params"))
        self._quirks = self._drops or has_quirks(target)
        self._words = tuple({_word(name) for name in provider.leaves})
        self._nested = tuple(
            (name, name.partition(".")[0].removesuffix("[]"), _word(name)) for name in provider.leaves & _NESTED_HINTS
        )

    def __call__(self, envelope: Envelope) -> HttpCall:
        members: dict[str, bytes] = dict(envelope.members)
        members["model"] = self._model
        messages = members.get("messages")
        if messages is not None:
            if not self._developer and DEVELOPER in messages:
                members["messages"] = with_system_in_body(messages)
            if b'"tool_calls"' in messages:
                members["messages"] = identified_in_body(members["messages"])
            if self._ids is not None:
                members["messages"] = fit_ids_in_body(members["messages"], self._ids)
        if envelope.stream and self._usage:
            members["stream_options"] = with_usage(members.get("stream_options"))
        elif "stream_options" in members and self._target.provider.options.get("usage_unasked"):
            forget_usage(members)
        left_out = self._leave_out(members)
        if messages is not None:
            if self._completes_calls:
                thinking = members.get("thinking", b"")
                members["messages"] = completed_calls_in_body(members["messages"], self._target, thinking)
            if self._objects and b'"tool_calls"' in messages:
                members["messages"], changed = written_as_objects(members["messages"])
                left_out = (*left_out, NAME) if changed else left_out
            if self._empty_turns:
                members["messages"] = without_empty_turns_in_body(members["messages"], self._target)
        if self._quirks:
            members = apply_row(members, self._target)
        return HttpCall(self._url, _written(members), left_out=left_out)

    def _leave_out(self, members: dict[str, bytes]) -> tuple[str, ...]:
        """Removes what the provider's row leaves out, if it has no effect, and what the route drops. Returns the
        names."""
        leaves = self._target.provider.leaves
        echoes: tuple[str, ...] = ()
        messages = members.get("messages", b"")
        if self._may_hold(messages):
            members["messages"], echoes = strip_messages(messages, leaves, self._knows)
        nested = [name for name, head, word in self._nested if word in members.get(head, b"")]
        if not (echoes or nested or self._drops) and leaves.isdisjoint(members):
            return ()
        return left_out_of(members, echoes, nested, self._table, self._target)

    def _may_hold(self, messages: bytes) -> bool:
        """Whether anything may have to be removed; if not, nothing has to be opened."""
        if self._knows is not None and b'"assistant"' in messages:
            return True
        return any(word in messages for word in self._words)


def _word(name: str) -> bytes:
    """The key of a member, as it appears in a body."""
    return f'"{name.rpartition(".")[2]}"'.encode()


@lru_cache(1024)  # names from callers displace each other
def _key_of(name: str) -> bytes:
    return msgspec.json.encode(name) + b":"


def _written(members: Mapping[str, bytes]) -> bytes:
    """Copies a large member only once."""
    parts = [b"{"]
    for name, raw in members.items():
        parts += (_key_of(name), raw, b",")
    parts[-1] = b"}"
    return b"".join(parts)


def encode_error(type_: str, message: str, param: str | None, code: str | None) -> bytes:
    return msgspec.json.encode({"error": {"message": message, "type": type_, "param": param, "code": code}})


def encode_stream_error(type_: str, message: str, param: str | None, code: str | None) -> bytes:
    return b"data: " + encode_error(type_, message, param, code) + b"\n\n"
