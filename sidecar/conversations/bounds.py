"""How much is remembered and read, the same on a disk and in a store."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.domain.snapshot import Remembering


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a record is kept after it was used last, and how many bytes there may be of one owner and in all."""

    keep_s: float
    owner_bytes: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Reading:
    """`used`: the time of what is read begins again. `plain_bytes`: what all of it may be once it is open. Conversations get much
    smaller once they are compressed, and somebody may have made one for that."""

    used: bool
    plain_bytes: int


class TooLargeError(Exception):
    """There is more than may be read at once."""


def bounds_of(settings: Remembering) -> Bounds:
    return Bounds(settings.remember_s, settings.consumer_bytes_max, settings.bytes_max)
