"""Routes and limits managed through the API, on all gateways that share a store.

`routes.d/` is this gateway's copy: it serves from that, starts from it while the store is unavailable, and restores
a store that has lost its data. A change is first written to the store, which only succeeds for a gateway that has
seen the last one, then to the copy. The others poll four times a second, and apply each change as if it had been
made locally: validated, then on disk, then in every worker. A gateway reports what it cannot apply, and keeps its
old version.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from adapters import GatewayError, Kind
from sidecar.config.route_documents import LIMITS, ROUTE, documents_of, has_keys
from sidecar.config.route_store import DamagedFile
from sidecar.domain.snapshot import SharedStore
from sidecar.store.documents import Documents, Found, Outcome, State
from sidecar.store.line import StoreError
from sidecar.supervisor.configuration import Configuration
from sidecar.supervisor.document_seal import DocumentSeal
from sidecar.supervisor.route_taking import Behind, CopyDamaged, NotTaken
from sidecar.supervisor.shared_report import SharedReport

_log = logging.getLogger("sidecar")
_NAME = "managed"
# What could not be taken is tried again after a reload of the config, and so often: the disk may have room again.
_AGAIN_S = 30.0
_RETRY_AFTER_S = 1.0
_ATTEMPTS = 5
# Before limits, which are deleted together with their route.
_ORDER = (ROUTE, LIMITS)


class Taker(Protocol):
    """Applies the changes of others. `turn` is held during the call."""

    turn: asyncio.Lock

    async def take(self, name: str, document: bytes | None) -> None:
        """None deletes it. Raises NotTaken, OSError."""

    async def taken(self) -> None:
        """Returns once every worker has what was applied."""


class SharedRoutes:
    """One per supervisor with a store. Set `taker` first."""

    taker: Taker

    def __init__(self, store: SharedStore, configuration: Configuration) -> None:
        self._documents = Documents(store, _NAME, DocumentSeal.of(store, _NAME))
        self._configuration = configuration
        self._files = configuration.files
        self._seen = State.of(self._files.seen())
        self._open: dict[str, bytes | None] = {}  # seen, but not applied yet
        self._unread: frozenset[str] = frozenset()  # seen, but encrypted with another key
        self._tried_s, self._tried_with = 0.0, ""
        self.report = SharedReport()
        self.report.change = 0 if self._seen is None else self._seen.number

    def close(self) -> None:
        self._documents.close()

    async def catch_up(self) -> None:
        """Applies all changes of others before making one. `turn` must be held. Raises store_unavailable."""
        try:
            await self._catch_up()
        except StoreError as error:
            words = f"Nothing was changed: the store that the gateways share does not answer ({error})."
            raise GatewayError(Kind.STORE_UNAVAILABLE, words, retry_after_s=_RETRY_AFTER_S) from None
        except CopyDamaged as error:
            raise GatewayError(Kind.FAILED_PRECONDITION, f"Nothing was changed: {error}") from None

    @asynccontextmanager
    async def change(self, documents: Mapping[str, bytes | None]) -> AsyncIterator[None]:
        """The change is made in the store; inside the block it is made here. `turn` is held, and catch_up was called. Raises
        Behind where somebody else was faster, failed_precondition for what the store must not hold, store_unavailable,
        not_confirmed; OSError where it could not be made here."""
        for name, document in documents.items():
            if name in self._open or name in self._unread:
                why = self.report.refused.get(_words_of(name), "")
                words = f"This gateway cannot take the version of the other gateways, and so not change it: {why}."
                raise GatewayError(Kind.FAILED_PRECONDITION, words)
            if not self._may_be_shared(document):
                words = "A route with an API key needs `store.encryption_key` in the config: the key lies encrypted in the store."
                raise GatewayError(Kind.FAILED_PRECONDITION, words)
        await asyncio.to_thread(self._files.require_writable)
        now = State.first() if self._seen is None else self._seen.next()
        try:
            done = await self._documents.write(self._seen, now, documents)
        except Outcome as error:
            words = f"The store did not confirm the change ({error}), but it may have been made. Check before you repeat it."
            raise GatewayError(Kind.NOT_CONFIRMED, words) from None
        except StoreError as error:
            words = f"Nothing was changed: the store that the gateways share refuses ({error})."
            raise GatewayError(Kind.STORE_UNAVAILABLE, words, retry_after_s=_RETRY_AFTER_S) from None
        if not done:
            raise Behind
        try:
            yield
        except OSError as error:
            self._open |= documents
            words = f"The change holds on the others. This gateway cannot write to routes.d ({error.strerror}), and keeps trying."
            raise GatewayError(Kind.NOT_CONFIRMED, words) from None
        finally:
            await self._saw(now)

    async def look(self) -> bool:
        """Whether the store answers. What is new is taken."""
        try:
            if not self._documents.compared or await self._documents.state() != self._seen or self._is_time():
                async with self.taker.turn:
                    await self._catch_up()
        except StoreError as error:
            self.report.away(str(error))
            return False
        except CopyDamaged as error:
            self.report.damaged(str(error))
            return True
        except Exception:  # noqa: BLE001 what was not foreseen must not end the gateway
            _log.exception("A bug in the gateway: managed routes and limits are not compared with the store.")
            await asyncio.sleep(_RETRY_AFTER_S)
            return False
        self.report.there()
        return True

    def _is_time(self) -> bool:
        """Whether to retry what could not be applied."""
        again = time.monotonic() - self._tried_s > _AGAIN_S or self._tried_with != self._configuration.snapshot.hash
        return bool(self._open) and again

    async def _catch_up(self) -> None:
        for _ in range(_ATTEMPTS):
            found = await self._documents.read(self._seen)
            if found.state is None:
                if await self._seeded(None):
                    return
                continue
            self._unread = found.unread if found.whole else (self._unread - found.documents.keys()) | found.unread
            self._open |= {name: document for name, document in found.documents.items() if name not in found.unread}
            if found.whole and not await self._compared(found):
                continue
            await self._take_open()
            if found.state != self._seen:
                await self._saw(found.state)
            return
        raise StoreError("other gateways keep changing what it holds")

    async def _seeded(self, behind: State | None) -> bool:
        """Fills a store that has nothing, or less than this gateway has seen. Returns False if another gateway was
        faster."""
        mine = await self._shareable()
        if self._seen is None and not mine:
            return True
        if behind is not None:
            assert self._seen is not None
            now = self._seen.next()
        else:
            now = self._seen or State.first()
        if not await self._documents.write(behind, now, mine, replace=True):
            return False
        self._open.clear()
        _log.warning(
            "The store %s: this gateway's copy of managed routes and limits (change %d, %d documents) was written to it.",
            "had none" if behind is None else f"was behind, at change {behind.number}",
            now.number,
            len(mine),
        )
        await self._saw(now)
        return True

    async def _compared(self, found: Found) -> bool:
        """Compares all documents of the store with the local ones. Returns False if it has to be read again."""
        assert found.state is not None
        same = self._seen is not None and self._seen.lineage == found.state.lineage
        if same and self._seen is not None and self._seen.number > found.state.number and not found.unread:
            await self._seeded(found.state)
            return False
        mine = await self._mine()
        self._open = {
            name: each for name, each in found.documents.items() if each is not None and mine.get(name) != each
        }
        only_here = {
            name: each for name, each in mine.items() if name not in found.documents and self._may_be_shared(each)
        }
        if same:
            self._open |= dict.fromkeys(only_here)
            return True
        if replaced := sorted(_words_of(name) for name in self._open if name in mine):
            _log.warning("The store has other versions, which hold from now on: %s.", ", ".join(replaced))
        if not only_here:
            return True
        if await self._documents.write(found.state, found.state.next(), only_here):
            _log.info("Written to the store, for all gateways: %s.", ", ".join(sorted(map(_words_of, only_here))))
        return False

    async def _take_open(self) -> None:
        """Retries what fails as long as others succeed: one document may free the name that another needs."""
        refused = dict.fromkeys(self._unread, "it is encrypted with another `store.encryption_key`")
        some = False
        while self._open:
            failed: dict[str, str] = {}
            for name in sorted(self._open, key=_turn_of):
                try:
                    await self.taker.take(name, self._open[name])
                except NotTaken as error:
                    failed[name] = str(error)
                except OSError as error:
                    failed[name] = f"{error.filename or 'routes.d'}: {error.strerror}"
                else:
                    some = True
            if len(failed) == len(self._open):
                refused |= failed
                break
            self._open = {name: self._open[name] for name in failed}
        if some:
            await self.taker.taken()
        self.report.refuses({_words_of(name): why for name, why in refused.items()})
        self._tried_s, self._tried_with = time.monotonic(), self._configuration.snapshot.hash

    async def _saw(self, state: State) -> None:
        self._seen, self.report.change = state, state.number
        try:
            await asyncio.to_thread(self._files.write_seen, str(state))
        except OSError as error:
            _log.error("%s: %s. The next start compares everything.", self._files.root, error.strerror)

    async def _mine(self) -> dict[str, bytes]:
        """This gateway's copy. Nothing is compared with one that cannot be read: what it lacks would go everywhere."""
        try:
            return await asyncio.to_thread(documents_of, self._files)
        except DamagedFile as error:
            raise CopyDamaged(f"{error.path} {error}") from None
        except (OSError, ValueError) as error:
            raise CopyDamaged(str(error)) from None

    async def _shareable(self) -> dict[str, bytes]:
        mine = await self._mine()
        return {name: document for name, document in mine.items() if self._may_be_shared(document)}

    def _may_be_shared(self, document: bytes | None) -> bool:
        return document is None or self._documents.sealed or not has_keys(document)


def _turn_of(name: str) -> tuple[int, str]:
    return _ORDER.index(name[:2]) if name[:2] in _ORDER else len(_ORDER), name


def _words_of(name: str) -> str:
    return f"limits of {name[2:]}" if name.startswith(LIMITS) else f"route {name[2:]}"
