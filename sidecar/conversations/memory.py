"""What remembers records for a worker. There are two: the disk of a machine, and a store that several machines share.

put      keeps a record of a consumer's; the oldest go where there is no room
get      what a consumer's call continues from
delete   what a consumer does not want kept any more
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from adapters import GatewayError, Kind
from sidecar.domain.snapshot import Remembering

# Calls that wait for records; beyond that the disk or the store does not keep up, and more would only wait longer.
WAITING_MAX: Final = 256
# What has ended is gone this much later at most. Nobody reads it in the meantime.
SWEEP_S: Final = 5.0


class Memory(Protocol):
    """Of one worker."""

    @property
    def settings(self) -> Remembering | None:
        """None: nothing is remembered."""

    def start(self) -> None:
        """Sweeps until it is closed."""

    async def put(self, owner: str, id_: str, value: bytes) -> bool:
        """False where it could not be kept: it is too large, or nothing takes it, which the log says."""

    async def get(self, owner: str, ids: Iterable[str], *, used: bool, bytes_max: int) -> dict[str, bytes]:
        """Those of the owner's that are there. `used`: they are kept for the whole time again. Raises request_too_large where
        they have more bytes than that in all; overloaded or store_unavailable where they cannot be reached."""

    async def delete(self, owner: str, id_: str) -> bool:
        """Whether it was there. Raises overloaded or store_unavailable."""

    async def close(self) -> None: ...


def too_large() -> GatewayError:
    text = "The conversation is too large to go on from. Send the last part of it as input."
    return GatewayError(Kind.REQUEST_TOO_LARGE, text)
