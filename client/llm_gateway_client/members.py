"""Reads a caller's mapping member by member, for messages with a field for each. Errors are InvalidRequest in the
gateway's own words, so that both services refuse the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llm_gateway_client.errors import SidecarError, of_kind
from llm_gateway_client.values import Json

_INT32 = (-(2**31), 2**31 - 1)
_INT64 = (-(2**63), 2**63 - 1)


def wrong(path: str, wanted: str) -> SidecarError:
    """The error for an invalid member."""
    return of_kind("invalid_request", f"'{path}' must be {wanted}.", param=path)


def json_text(value: Any) -> str:
    """Preserves key order and numbers. Raises TypeError, ValueError for what JSON cannot express."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Members:
    """One object of a request. Members that are taken are removed; what is left at the end is `extra`. None counts
    as absent.

    `path` leads to the object ("messages[0]"), "" for the request itself. `value` is all of it as the caller passed
    it.
    """

    __slots__ = ("_left", "path", "value")

    def __init__(self, value: Any, path: str = "") -> None:
        if not isinstance(value, Mapping):
            raise wrong(path or "the body", "a JSON object")
        self.path = path
        self.value: Json = value
        self._left = {name: each for name, each in value.items() if each is not None}

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def take(self, name: str) -> Any:
        """Returns None if it is absent."""
        return self._left.pop(name, None)

    def string(self, name: str) -> str | None:
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            raise wrong(self.at(name), "a string")
        return value

    def boolean(self, name: str) -> bool | None:
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            raise wrong(self.at(name), "true or false")
        return value

    def number(self, name: str) -> float | None:
        value = self.take(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong(self.at(name), "a number")
        try:
            return float(value)
        except OverflowError:
            raise wrong(self.at(name), "a number") from None

    def integer(self, name: str) -> int | None:
        """A 32-bit integer. 1.0 counts as 1: JSON has only one kind of number."""
        return self._integer(name, *_INT32)

    def integer64(self, name: str) -> int | None:
        return self._integer(name, *_INT64)

    def _integer(self, name: str, least: int, most: int) -> int | None:
        value = self.take(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong(self.at(name), "a whole number")
        if not least <= value <= most or value != int(value):
            raise wrong(self.at(name), f"a whole number from {least} to {most}")
        return int(value)

    def json(self, name: str) -> str | None:
        """Any value, as JSON text."""
        value = self.take(name)
        return None if value is None else json_text(value)

    def object(self, name: str) -> Members | None:
        value = self.take(name)
        return None if value is None else Members(value, self.at(name))

    def objects(self, name: str) -> Iterator[Members]:
        """The items of an array of objects; none if it is absent."""
        for value, path in self.items(name):
            yield Members(value, path)

    def items(self, name: str) -> list[tuple[Any, str]]:
        """The items of an array with their paths."""
        value = self.take(name)
        if value is None:
            return []
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
            raise wrong(self.at(name), "an array")
        return [(item, f"{self.at(name)}[{index}]") for index, item in enumerate(value)]

    def strings(self, name: str) -> list[str]:
        """A string, or an array of strings."""
        if isinstance(self._left.get(name), str):
            return [self.take(name)]
        return [_text(item, path) for item, path in self.items(name)]

    def extra(self) -> str | None:
        """The remaining members as the text of one JSON object; None if there are none."""
        return json_text(self._left) if self._left else None


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise wrong(path, "a string")
    return value
