"""The members of a request that MLflow's servers validate, as rows, and the checks. Members without a row pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from adapters.json_object import MALFORMED
from adapters.mlflow_client.violations import Loc, Violations, missing, violation

Found = Iterator[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One member. `least` and `most` are for numbers."""

    name: str
    check: Callable[[Rule, bytes], Found]
    required: bool = False
    nullable: bool = True
    least: float | None = None
    most: float | None = None


def require(members: Mapping[str, bytes], rules: Iterable[Rule]) -> None:
    """Raises Violations with every problem, in the order of the rules."""
    found: list[dict[str, Any]] = []
    for rule in rules:
        raw = members.get(rule.name)
        if raw is None:
            if rule.required:
                found.append(missing((rule.name,), {name: msgspec.Raw(each) for name, each in members.items()}))
        elif raw != b"null" or not rule.nullable:
            found.extend(rule.check(rule, raw))
    if found:
        raise Violations(found)


def number(rule: Rule, raw: bytes) -> Found:
    value = _value(raw)
    if isinstance(value, str):
        text = "Input should be a valid number, unable to parse string as a number"
        yield violation("float_parsing", (rule.name,), text, value)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        yield violation("float_type", (rule.name,), "Input should be a valid number", value)
    else:
        yield from _bounds(rule, value, float)


def integer(rule: Rule, raw: bytes) -> Found:
    value = _value(raw)
    if isinstance(value, str):
        text = "Input should be a valid integer, unable to parse string as an integer"
        yield violation("int_parsing", (rule.name,), text, value)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        yield violation("int_type", (rule.name,), "Input should be a valid integer", value)
    elif value != value // 1:
        text = "Input should be a valid integer, got a number with a fractional part"
        yield violation("int_from_float", (rule.name,), text, value)
    else:
        yield from _bounds(rule, value, int)


def _bounds(rule: Rule, value: float, kind: type[int] | type[float]) -> Found:
    if rule.least is not None and value < rule.least:
        text = f"Input should be greater than or equal to {rule.least:g}"
        yield violation("greater_than_equal", (rule.name,), text, value, ge=kind(rule.least))
    if rule.most is not None and value > rule.most:
        text = f"Input should be less than or equal to {rule.most:g}"
        yield violation("less_than_equal", (rule.name,), text, value, le=kind(rule.most))


def boolean(rule: Rule, raw: bytes) -> Found:
    value = _value(raw)
    if not isinstance(value, bool):
        yield violation("bool_type", (rule.name,), "Input should be a valid boolean", value)


def text(rule: Rule, raw: bytes) -> Found:
    if not raw.startswith(b'"'):
        yield _no_text((rule.name,), _value(raw))


def texts(rule: Rule, raw: bytes) -> Found:
    """A list of strings, at least one."""
    yield from _items((rule.name,), _value(raw))


def text_or_texts(rule: Rule, raw: bytes) -> Found:
    """A string, or a list of at least one string."""
    if raw.startswith(b'"'):
        return
    value = _value(raw)
    found = list(_items((rule.name, "list[str]"), value))
    if found:
        yield _no_text((rule.name, "str"), value)
        yield from found


def some_texts(rule: Rule, raw: bytes) -> Found:
    """The values of `stop` in OpenAI's format: also a string."""
    if not raw.startswith(b'"'):
        yield from texts(rule, raw)


def some_inputs(rule: Rule, raw: bytes) -> Found:
    """A string, or a non-empty list of strings or tokens, which decode_request examines."""
    if raw.startswith(b'"'):
        return
    value = _value(raw)
    if not isinstance(value, list) or not value:
        yield _no_text((rule.name, "str"), value)
        yield from _list((rule.name, "list[str]"), value)


class _Message(msgspec.Struct):
    role: str


class _TextMessage(msgspec.Struct):
    role: str
    content: str


_MESSAGES = msgspec.json.Decoder(list[_Message])
_TEXT_MESSAGES = msgspec.json.Decoder(list[_TextMessage])


def messages(rule: Rule, raw: bytes) -> Found:
    """At least one message, each with a role. Their contents are the upstream's business."""
    return _messages(rule, raw, _MESSAGES, ("role",))


def text_messages(rule: Rule, raw: bytes) -> Found:
    """At least one message, each with a role and a string as content."""
    return _messages(rule, raw, _TEXT_MESSAGES, ("role", "content"))


def _messages(rule: Rule, raw: bytes, decoder: msgspec.json.Decoder[Any], needed: tuple[str, ...]) -> Found:
    try:
        if decoder.decode(raw):
            return
    except MALFORMED:
        pass
    value = _value(raw)
    yield from _list((rule.name,), value)
    for index, message in enumerate(value if isinstance(value, list) else ()):
        at: Loc = (rule.name, index)
        if not isinstance(message, dict):
            words = "Input should be a valid dictionary or object to extract fields from"
            yield violation("model_attributes_type", at, words, message)
            continue
        for name in needed:
            if name not in message:
                yield missing((*at, name), message)
            elif not isinstance(message[name], str):
                yield _no_text((*at, name), message[name])


def _items(at: Loc, value: Any) -> Found:
    yield from _list(at, value)
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if not isinstance(item, str):
            yield _no_text((*at, index), item)


def _list(at: Loc, value: Any) -> Found:
    if not isinstance(value, list):
        yield violation("list_type", at, "Input should be a valid list", value)
    elif not value:
        words = "List should have at least 1 item after validation, not 0"
        yield violation("too_short", at, words, value, field_type="List", min_length=1, actual_length=0)


def _no_text(at: Loc, value: Any) -> dict[str, Any]:
    return violation("string_type", at, "Input should be a valid string", value)


def _value(raw: bytes) -> Any:
    """Decodes a member that the body's parser skipped; it may still be malformed inside."""
    try:
        return msgspec.json.decode(raw)
    except MALFORMED:
        raise Violations([violation("json_invalid", (0,), "JSON decode error", {}, error="Expecting value")]) from None
