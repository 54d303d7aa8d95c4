"""A worker's side of the store: tracks whether it is available, loses no settlement, reconnects gently.

Availability is known before a call asks: after a lost connection, an error, or three consecutive timeouts, calls are
decided without the store until it is connected again. One task connects, one sends settlements, one renews
reservations.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import string
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sidecar.domain.snapshot import SharedStore
from sidecar.store import operations
from sidecar.store.batches import OPERATIONS_MAX, Answer, Batches
from sidecar.store.connect import Connected, Connector
from sidecar.store.counters import Counters
from sidecar.store.line import Line, Refused, StoreError, Unanswered
from sidecar.store.operations import SCRIPT_SHA, Operation
from sidecar.store.unsent import UnsentSettles

_log = logging.getLogger(__name__)
_TIMEOUTS_MAX = 3
# Random between these two, so that gateways do not reconnect in lockstep.
_PROBE_S = (0.1, 0.25)
# How long a settlement waits for others to be sent with.
_COMPANY_S = 0.005
# Timeout for background work. Longer than that of calls, so that calls detect an outage first.
_BACKGROUND_S = 5.0
# A replica that becomes master lacks the last writes, so recent settlements are sent again; their bit identifies them.
_RESENT_S = 10.0
# A worker that was disconnected sends settlements up to this age. Older ones are restored from archives (fold.py).
_RESENT_MAX_S = 30.0
_TICK_S = 5.0
_RENEWED_S = 20.0
# Settlements without room in the file are kept by the process, up to this many.
_UNSENT_MAX = 200_000
# Codes of errors of the script itself, which would recur with the same arguments.
_SCRIPT_FAILED = frozenset({"ERR", "WRONGTYPE"})
# How long a stopping worker waits for the last acknowledgements.
_CLOSE_S = 1.0
_LETTERS = string.ascii_letters + string.digits


@dataclass(slots=True)
class _Open:
    hold: Operation
    renewed: float


class Session:
    """The session of one worker. `gateway` names this machine's gateway and survives restarts."""

    def __init__(
        self,
        store: SharedStore,
        gateway: bytes,
        unsent: UnsentSettles,
        counters: Counters,
        connector: Connector | None = None,
    ) -> None:
        # Unique per process: with a recurring name, bits of an earlier process would suppress new settlements.
        self.host = "".join(secrets.choice(_LETTERS) for _ in range(9)).encode()
        self.gateways = 1
        self._timeout_s = store.timeout_s
        self.prefix = operations.prefix_of(store.installation)
        self._gateway = gateway
        self._connector = connector or Connector(store)
        self._unsent = unsent
        self._counters = counters
        self._number = 0
        self.line: Line | None = None  # while it is up
        self._batches: Batches | None = None
        self._timeouts = 0
        self._life = b""
        self._was_up = True
        self._open: dict[int, _Open] = {}
        self._at_a_time = OPERATIONS_MAX
        self._outbox: deque[tuple[Operation, int | None]] = deque(unsent.found)
        self._recent: deque[tuple[float, Operation]] = deque()
        self._loop = asyncio.get_running_loop()
        self.up = asyncio.Event()  # set while the store can be used
        self._left = asyncio.Event()  # set when the connection is lost
        self._arrived = asyncio.Event()  # set when there is a settlement to send, or a connection to send it on
        self._arrived.set()
        self._emptied = asyncio.Event()
        counters.reachable(yes=False)
        self._tasks = [asyncio.create_task(each()) for each in (self._stay_connected, self._send_settles, self._renew)]

    @property
    def is_up(self) -> bool:
        return self._batches is not None

    def now(self) -> float:
        """Event loop time."""
        return self._loop.time()

    def new_number(self) -> int:
        self._number += 1
        return self._number

    async def ask(self, operation: Operation) -> Answer:
        """Runs an operation within the store's timeout. Raises StoreError; the operation may still be executed then."""
        batches = self._batches
        if batches is None:
            raise Unanswered("the store is unavailable")
        try:
            answer = await batches.put(operation)
        except Unanswered as error:
            self._timeouts += 1
            if self._timeouts >= _TIMEOUTS_MAX and batches is self._batches:
                self._leave(str(error))
            raise
        except StoreError as error:
            if batches is self._batches:
                self._leave(str(error))
            raise
        self._timeouts = 0
        return answer

    def opened(self, number: int, hold: Operation) -> None:
        """Registers a reservation: it is renewed until it is settled, and restored if the store loses it."""
        self._open[number] = _Open(hold, self._loop.time())

    def settle(self, number: int, settle: Operation) -> None:
        """Sends a settlement in the background until it is acknowledged. The store applies it once."""
        self._open.pop(number, None)
        self._arrived.set()
        if len(self._outbox) >= _UNSENT_MAX:
            self._counters.lost()
            return
        self._outbox.append((settle, self._unsent.keep(settle)))

    async def close(self) -> None:
        """Sends the last settlements if the store is available."""
        until = self._loop.time() + _CLOSE_S
        while self._outbox and self.is_up and self._loop.time() < until:
            self._emptied.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._emptied.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._disconnect()
        self._unsent.close()

    def _leave(self, why: str, line: Line | None = None) -> None:
        """`line`: only if this is still the current connection."""
        if self._batches is None or (line is not None and line is not self.line):
            return
        _log.warning("The store of limits and budgets is unavailable: %s. Calls are decided without it.", why)
        self._disconnect()
        self._counters.reachable(yes=False)
        self._left.set()

    def _disconnect(self) -> None:
        batches, line = self._batches, self.line
        self._batches = self.line = None
        self.up.clear()
        self._timeouts = 0
        if batches is not None:
            batches.close()
        if line is not None:
            line.abort()

    async def _stay_connected(self) -> None:
        while True:
            try:
                connected = await self._connector.connect()
                await self._catch_up(connected)
            except StoreError as error:
                if self._was_up:
                    _log.warning("The store of limits and budgets cannot be reached: %s.", error)
                self._was_up = False
                await asyncio.sleep(random.uniform(*_PROBE_S))
                continue
            self._begin(connected.line)
            await self._left.wait()

    def _begin(self, line: Line) -> None:
        if not self._was_up:
            _log.info("The store of limits and budgets is available again.")
        self._was_up = True
        self._left.clear()
        self.line = line
        self.up.set()
        self._batches = Batches(line, self.prefix, self._timeout_s, self._counters.answered)
        line.lost = self._lost_line(line)
        self._counters.reachable(yes=True)
        self._arrived.set()
        if not line.is_open:
            self._leave("the connection was lost")

    def _lost_line(self, line: Line) -> Callable[[], None]:
        return lambda: self._leave("the connection was lost") if line is self.line else None

    async def _catch_up(self, connected: Connected) -> None:
        """Sends what another server, another life of it, or one with other data should know."""
        line = connected.line
        try:
            if connected.epoch is None:
                raise Unanswered("its sums are not restored yet")
            if connected.life != self._life:
                oldest = self._loop.time() - _RESENT_MAX_S
                again = [each.hold for each in self._open.values()]
                again += [each for sent, each in self._recent if sent > oldest]
                for at in range(0, len(again), OPERATIONS_MAX):
                    await self._run(line, again[at : at + OPERATIONS_MAX])
            (count,) = (await self._run(line, [Operation(operations.tick(self._gateway))]))[0]
            self.gateways = max(1, count)
        except BaseException:
            line.abort()
            raise
        self._life = connected.life

    async def _run(self, line: Line, some: Sequence[Operation]) -> list[Answer]:
        words = [word for operation in some for word in operation]
        try:
            async with asyncio.timeout(_BACKGROUND_S):
                answers: list[Answer] = await line.ask(b"EVALSHA", SCRIPT_SHA, 1, self.prefix, *words)
        except TimeoutError:
            raise Unanswered("no answer in time") from None
        return answers

    async def _send_settles(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if len(self._outbox) < OPERATIONS_MAX:
                await asyncio.sleep(_COMPANY_S)
            while self._outbox and (line := self.line) is not None:
                await self._send_some(line)
            self._counters.unsent(len(self._outbox))
            self._emptied.set()
            oldest = self._loop.time() - _RESENT_S
            while self._recent and self._recent[0][0] < oldest:
                self._recent.popleft()

    async def _send_some(self, line: Line) -> None:
        some = [self._outbox[at] for at in range(min(self._at_a_time, len(self._outbox)))]
        try:
            await self._run(line, [operation for operation, _ in some])
        except Refused as error:
            if error.code not in _SCRIPT_FAILED:
                self._leave(str(error), line)
            elif self._at_a_time > 1:
                _log.error("The store's script failed on some settlements, which are now sent one by one: %s", error)
                self._at_a_time = 1
            else:
                _log.error("The store rejected a settlement, which is dropped: %s", error)
                self._counters.lost()
                self._outbox.popleft()
                self._unsent.forget(some[0][1])
            return
        except StoreError as error:
            self._leave(str(error), line)
            return
        self._at_a_time = OPERATIONS_MAX
        now = self._loop.time()
        for operation, record in some:
            self._outbox.popleft()
            self._unsent.forget(record)
            self._recent.append((now, operation))

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S * random.uniform(0.8, 1.2))
            self._counters.unsent(len(self._outbox))
            if (line := self.line) is not None:
                try:
                    await self._renew_once(line)
                except StoreError as error:
                    self._leave(str(error), line)

    async def _renew_once(self, line: Line) -> None:
        (count,) = (await self._run(line, [Operation(operations.tick(self._gateway))]))[0]
        self.gateways = max(1, count)
        now = self._loop.time()
        due = [number for number, each in self._open.items() if now - each.renewed > _RENEWED_S]
        for at in range(0, len(due), OPERATIONS_MAX):
            some = [number for number in due[at : at + OPERATIONS_MAX] if number in self._open]
            answers = await self._run(line, [Operation(operations.renew(self.host, number)) for number in some])
            gone = [
                self._open[number].hold
                for number, (held,) in zip(some, answers, strict=True)
                if not held and number in self._open
            ]
            if gone:
                await self._run(line, gone)
            for number in some:
                if number in self._open:
                    self._open[number].renewed = now
