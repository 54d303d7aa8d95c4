"""How much may be stored and read, both on disk and in a shared store."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.domain.snapshot import Remembering


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a record is kept after its last use, and how many bytes one owner and all owners together may store."""

    keep_s: float
    owner_bytes: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Reading:
    """`used`: restart the lifetime of what is read. `plain_bytes`: maximum total size after decompression, since
    conversations shrink a lot when compressed, and one might have been crafted for that."""

    used: bool
    plain_bytes: int


class TooLargeError(Exception):
    """The records exceed what may be read at once."""


def bounds_of(settings: Remembering) -> Bounds:
    return Bounds(settings.remember_s, settings.consumer_bytes_max, settings.bytes_max)
