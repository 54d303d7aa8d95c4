"""Records of several machines in their shared store: any gateway can continue what another one stored."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from adapters import GatewayError, Kind
from sidecar.conversations.bounds import Bounds, Reading, TooLargeError, bounds_of
from sidecar.conversations.memory import SWEEP_S, WAITING_MAX, too_large
from sidecar.conversations.sealing import Address, Sealing
from sidecar.conversations.store_records import StoreRecords
from sidecar.domain.large_work import off_loop
from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import Remembering, SharedStore
from sidecar.store.line import StoreError

log = logging.getLogger(__name__)

_RETRY_S = 1.0
_Done = TypeVar("_Done")


class StoreMemory:
    """`settings` always have a key, which the config requires."""

    def __init__(self, store: SharedStore, settings: Callable[[], Remembering | None]) -> None:
        self._shared = store
        self._settings = settings
        self._records: StoreRecords | None = None
        self._sealing: tuple[Secret, Sealing] | None = None
        self._is_away = False
        self._waiting = 0
        self._sweeps: asyncio.Task[None] | None = None

    @property
    def settings(self) -> Remembering | None:
        return self._settings()

    def start(self) -> None:
        self._sweeps = asyncio.create_task(self._sweep_until_cancelled())

    async def put(self, owner: str, id_: str, value: bytes) -> bool:
        address = Address(owner, id_)

        async def put(records: StoreRecords, sealing: Sealing, bounds: Bounds) -> bool:
            sealed = await off_loop(len(value), sealing.seal, address, value)
            return await records.put(sealing.owner(owner), sealing.name(address), sealed, len(value), bounds)

        try:
            return await self._run(put)
        except GatewayError:
            return False

    async def get(self, owner: str, ids: Iterable[str], *, used: bool, bytes_max: int) -> dict[str, bytes]:
        reading = Reading(used, bytes_max)
        addresses = [Address(owner, id_) for id_ in ids]

        async def get(records: StoreRecords, sealing: Sealing, bounds: Bounds) -> dict[str, bytes]:
            names = {sealing.name(address): address for address in addresses}
            sealed = await records.get(list(names), bounds, reading)
            size = sum(map(len, sealed.values()))
            return await off_loop(size, _opened, sealing, {names[name]: value for name, value in sealed.items()})

        try:
            return await self._run(get)
        except TooLargeError:
            raise too_large() from None

    async def delete(self, owner: str, id_: str) -> bool:
        async def delete(records: StoreRecords, sealing: Sealing, bounds: Bounds) -> bool:
            return await records.delete(sealing.name(Address(owner, id_)))

        return await self._run(delete)

    async def close(self) -> None:
        if self._sweeps is not None:
            self._sweeps.cancel()
            await asyncio.gather(self._sweeps, return_exceptions=True)
        if self._records is not None:
            await self._records.close()

    async def _run(self, work: Callable[[StoreRecords, Sealing, Bounds], Awaitable[_Done]]) -> _Done:
        """Raises store_unavailable."""
        settings = self.settings
        assert settings is not None
        if self._waiting >= WAITING_MAX:
            raise self._unavailable("too many calls wait for it")
        self._waiting += 1
        try:
            done = await work(*self._opened(settings), bounds_of(settings))
        except StoreError as error:
            raise self._unavailable(str(error)) from None
        finally:
            self._waiting -= 1
        if self._is_away:
            log.info("The store of what is remembered is there again.")
        self._is_away = False
        return done

    def _opened(self, settings: Remembering) -> tuple[StoreRecords, Sealing]:
        """The records, opened with the configured key."""
        assert settings.encryption_key is not None
        if self._records is None:
            self._records = StoreRecords(self._shared)
        if self._sealing is None or self._sealing[0] != settings.encryption_key:
            self._sealing = (settings.encryption_key, Sealing(settings.encryption_key.reveal().encode()))
            self._records.check = self._sealing[1].check
        return self._records, self._sealing[1]

    async def _sweep_until_cancelled(self) -> None:
        """Does nothing once the config turns storing off: other gateways may still store answers. Records expire on
        their own."""

        async def sweep(records: StoreRecords, sealing: Sealing, bounds: Bounds) -> None:
            await records.sweep(bounds)

        while True:
            if self.settings is not None:
                try:
                    await self._run(sweep)
                except GatewayError:
                    pass  # already logged
            await asyncio.sleep(SWEEP_S)

    def _unavailable(self, reason: str) -> GatewayError:
        if not self._is_away:
            log.error(
                "The store of what is remembered cannot be used: %s. Answers are not kept, and none is found.", reason
            )
        self._is_away = True
        text = "The store of remembered answers does not answer. Retry, or send the whole conversation as input."
        return GatewayError(Kind.STORE_UNAVAILABLE, text, retry_after_s=_RETRY_S)


def _opened(sealing: Sealing, sealed: dict[Address, bytes]) -> dict[str, bytes]:
    opened = ((address.id, sealing.unseal(address, value)) for address, value in sealed.items())
    return {id_: value for id_, value in opened if value is not None}
