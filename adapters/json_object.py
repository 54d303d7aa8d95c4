"""Reads JSON whose numbers, key order and spelling must be preserved: objects are opened one level at a time, and
values stay raw text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from adapters.errors import GatewayError, Kind
from adapters.surrogates import without_halves

OBJECTS = msgspec.json.Decoder(dict[str, msgspec.Raw])
ARRAYS = msgspec.json.Decoder(list[msgspec.Raw])
STRINGS = msgspec.json.Decoder(str)
_WHOLE = msgspec.json.Decoder(int | float)
_NUMBERS = msgspec.json.Decoder(float)
_BOOLEANS = msgspec.json.Decoder(bool)
# What decoders raise for arbitrary bytes; RecursionError is msgspec's nesting limit.
MALFORMED = (msgspec.DecodeError, UnicodeError, RecursionError, OverflowError)
_NULL = b"null"
# Some editors and servers prepend it to a text. JSON parsers refuse it, but may ignore it (RFC 8259, section 8.1).
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_INT32 = (-(2**31), 2**31 - 1)
_INT64 = (-(2**63), 2**63 - 1)

# (path of the member at fault, what it should be) -> the error to raise
Refusal = Callable[[str, str], GatewayError]


def of_request(path: str, wanted: str) -> GatewayError:
    """The error for a caller's fault."""
    return GatewayError(Kind.INVALID_REQUEST, f"'{path}' must be {wanted}.", param=path)


def of_answer(path: str, wanted: str) -> GatewayError:
    """The error for a provider's fault."""
    return GatewayError(Kind.UPSTREAM_PROTOCOL, f"The provider's answer is not of its format: {path} is not {wanted}.")


class Obj:
    """A JSON object being read. Members that are taken are removed; what is left at the end is `extra`.

    null counts as absent. A member of the wrong type raises the error with its path.
    """

    __slots__ = ("members", "path", "refusal")

    def __init__(self, raw: bytes | msgspec.Raw, path: str, refusal: Refusal) -> None:
        self.path = path
        self.refusal = refusal
        try:
            self.members: dict[str, msgspec.Raw] = OBJECTS.decode(raw)
        except MALFORMED:
            raise refusal(path or "the body", "a JSON object") from None

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def take(self, name: str) -> bytes | None:
        """Takes the member's raw text."""
        raw = self.members.pop(name, None)
        if raw is None:
            return None
        text = bytes(raw)
        return None if text == _NULL else text

    def _typed(self, name: str, decoder: msgspec.json.Decoder[Any], wanted: str) -> Any:
        raw = self.take(name)
        if raw is None:
            return None
        try:
            return decoder.decode(raw)
        except MALFORMED:
            raise self.refusal(self.at(name), wanted) from None

    def string(self, name: str) -> str | None:
        raw = self.take(name)
        return None if raw is None else decoded_string(raw, self.at(name), self.refusal)

    def number(self, name: str) -> float | None:
        value: float | None = self._typed(name, _NUMBERS, "a number")
        return value

    def boolean(self, name: str) -> bool | None:
        value: bool | None = self._typed(name, _BOOLEANS, "true or false")
        return value

    def integer(self, name: str) -> int | None:
        """1.0 counts as 1: JSON has only one kind of number."""
        return self._integer(name, _INT32)

    def integer64(self, name: str) -> int | None:
        return self._integer(name, _INT64)

    def _integer(self, name: str, bounds: tuple[int, int]) -> int | None:
        value = self._typed(name, _WHOLE, "a whole number")
        if value is None:
            return None
        if not bounds[0] <= value <= bounds[1] or value != int(value):
            raise self.refusal(self.at(name), f"a whole number from {bounds[0]} to {bounds[1]}")
        return int(value)

    def json(self, name: str) -> str | None:
        """Takes any value, as text."""
        raw = self.take(name)
        return None if raw is None else json_text(raw, self.at(name), self.refusal)

    def object(self, name: str) -> Obj | None:
        raw = self.take(name)
        return None if raw is None else Obj(raw, self.at(name), self.refusal)

    def array(self, name: str) -> list[tuple[bytes, str]] | None:
        """Takes an array: raw items with their paths."""
        raw = self.take(name)
        if raw is None:
            return None
        return array_items(raw, self.at(name), self.refusal)

    def objects(self, name: str) -> Iterator[Obj]:
        for raw, path in self.array(name) or ():
            yield Obj(raw, path, self.refusal)

    def extra(self) -> str | None:
        """The remaining members as the text of one JSON object; None if there are none."""
        return object_text(self.members)


def array_items(raw: bytes, path: str, refusal: Refusal) -> list[tuple[bytes, str]]:
    try:
        return [(bytes(item), f"{path}[{i}]") for i, item in enumerate(ARRAYS.decode(raw))]
    except MALFORMED:
        raise refusal(path, "an array") from None


def json_text(raw: bytes, path: str, refusal: Refusal) -> str:
    """Raw JSON as text. What is not decoded is not validated."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise refusal(path, "valid UTF-8") from None


def decoded_string(raw: bytes, path: str, refusal: Refusal) -> str:
    """Decodes a string; a lone surrogate becomes U+FFFD."""
    try:
        return STRINGS.decode(raw)
    except MALFORMED:
        pass
    try:
        return STRINGS.decode(without_halves(raw))
    except MALFORMED:
        raise refusal(path, "a string") from None


def object_text(members: dict[str, msgspec.Raw]) -> str | None:
    """Members other than null as the text of one JSON object; None if there are none."""
    left = {name: raw for name, raw in members.items() if bytes(raw) != _NULL}
    if not left:
        return None
    return msgspec.json.encode(left).decode("utf-8", "replace")


def raw_json(text: str, path: str) -> msgspec.Raw:
    """A caller's JSON text, to be written unchanged. Raises invalid_request if it is invalid."""
    data = text.encode("utf-8", "surrogatepass")
    try:
        msgspec.json.decode(data)
    except MALFORMED:
        raise GatewayError(Kind.INVALID_REQUEST, f"'{path}' is not JSON.", param=path) from None
    return msgspec.Raw(data)


def beneath(fields: dict[str, Any], extra: str) -> dict[str, Any]:
    """Adds further members of a provider to `fields`, which take precedence."""
    if extra:
        for name, raw in OBJECTS.decode(extra).items():
            fields.setdefault(name, raw)
    return fields


def merge_extra(fields: dict[str, Any], extra: str, path: str, modelled: frozenset[str]) -> dict[str, Any]:
    """Adds the members of an extra_json to `fields`. A member that a field models is refused by name."""
    return merge(fields, extra, path, modelled, f"{path}.extra_json" if path else "extra_json") if extra else fields


def merge(
    fields: dict[str, Any], text: str, path: str, modelled: frozenset[str], param: str | None = None
) -> dict[str, Any]:
    """The same for any parameter's text. `path` is where its members are in OpenAI's format."""
    return merge_members(fields, callers_object(text, param or path), path, modelled)


def merge_members(
    fields: dict[str, Any], members: dict[str, msgspec.Raw], path: str, modelled: frozenset[str]
) -> dict[str, Any]:
    for name, raw in members.items():
        if name in modelled or name in fields:
            at = f"{path}.{name}" if path else name
            text = f"'{at}' is set by the gateway for this provider, from other members of the request."
            raise GatewayError(Kind.INVALID_REQUEST, text, param=at)
        fields[name] = raw
    return fields


def callers_object(text: str, param: str) -> dict[str, msgspec.Raw]:
    """The members of a JSON object in a caller's request. Raises invalid_request for anything else."""
    try:
        return OBJECTS.decode(text)
    except MALFORMED:
        raise GatewayError(Kind.INVALID_REQUEST, f"'{param}' must be one JSON object.", param=param) from None
