"""A value that must not be shown."""

from __future__ import annotations

from typing import final


@final
class Secret:
    """A provider key or token. Printing, formatting and comparing do not reveal it; `reveal()` is the only way to
    the value.

    It can be pickled, since the supervisor sends the snapshot to its workers over a private socket.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __getstate__(self) -> str:
        return self._value

    def __setstate__(self, value: str) -> None:
        self._value = value
