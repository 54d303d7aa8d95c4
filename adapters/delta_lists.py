"""Lists in deltas. OpenAI's stream helpers merge list entries by their `index`, and fail without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from adapters.json_object import ARRAYS, MALFORMED, OBJECTS, object_text


class DeltaLists:
    """Numbers the entries of each list across the deltas of one choice, from 0 and per list."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def extra_json(self, members: Mapping[str, msgspec.Raw | bytes]) -> str | None:
        """Encodes members of a delta as one JSON object, None if there are none; objects in lists get an `index`."""
        return object_text({name: self._numbered(name, bytes(raw)) for name, raw in members.items()})

    def entry(self, name: str, raw: bytes) -> str:
        """A list with one entry."""
        return self.extra_json({name: b"[" + raw + b"]"}) or ""

    def _numbered(self, name: str, raw: bytes) -> msgspec.Raw:
        if not raw.startswith(b"["):
            return msgspec.Raw(raw)
        try:
            entries: list[Any] = ARRAYS.decode(raw)
        except MALFORMED:
            return msgspec.Raw(raw)
        for at, entry in enumerate(entries):
            if bytes(entry).startswith(b"{"):
                number = self._counts.get(name, 0)
                self._counts[name] = number + 1
                entries[at] = OBJECTS.decode(entry) | {"index": msgspec.Raw(str(number).encode())}
        return msgspec.Raw(msgspec.json.encode(entries))
