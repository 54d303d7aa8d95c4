"""The stream of the store's ledger: one row per ended call, kept until every consumer group has read it.

Every gateway is a group; all of them together form another one if they fill an archive in Postgres (archiving.py).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from sidecar.domain.snapshot import SharedStore
from sidecar.store.line import Line, Refused, Unanswered, answer
from sidecar.store.operations import prefix_of

_log = logging.getLogger(__name__)
# A transaction with this many rows takes 3 ms of a thread.
ROWS_MAX = 500
# The group of all gateways for Postgres. No gateway can have this name.
SHARED = "archive:postgres"
# A gateway that is absent for longer is dropped, so that the stream does not grow without bound: 200 bytes per call.
_GROUP_KEPT_MS = 86_400_000
# 200 MB: beyond this, absent gateways are dropped earlier.
_ROWS_KEPT_MAX = 1_000_000
_GROUP_KEPT_CROWDED_MS = 600_000
# After this, the rows of a gateway that died are taken over by another one.
_TAKEN_OVER_MS = 10_000


class LedgerStream:
    """The stream of one installation, as read by `gateway`. Raises StoreError."""

    def __init__(self, store: SharedStore, gateway: str) -> None:
        self.key = prefix_of(store.installation) + b"ledger"
        self.waiting = 0  # rows that this gateway has not read
        self.not_archived = 0  # rows that Postgres does not have
        self._gateways = prefix_of(store.installation) + b"gateways"
        self._gateway = gateway
        self._groups: set[str] = set()  # seen so far

    async def make_group(self, line: Line, name: str) -> bool:
        """Creates the group, starting at the oldest row. Returns whether it did not exist."""
        try:
            await answer(line, "XGROUP", "CREATE", self.key, name, "0", "MKSTREAM")
        except Refused as error:
            if error.code != "BUSYGROUP":
                raise
            return False
        return True

    async def make_groups_again(self, line: Line) -> None:
        """Recreates the groups that were seen before the store lost its data."""
        for group in self._groups:
            await self.make_group(line, group)

    async def read(self, line: Line, group: str, start: str) -> list[Any]:
        """Reads rows that no member of the group has read (`start` ">"), or that were not acknowledged ("0")."""
        consumer = "1" if group == self._gateway else self._gateway
        found = await answer(
            line, "XREADGROUP", "GROUP", group, consumer, "COUNT", ROWS_MAX, "STREAMS", self.key, start
        )
        return list(found[0][1]) if found else []

    async def take_over(self, line: Line, group: str) -> list[Any]:
        """Takes over rows that another member of the group has held for too long."""
        words = ("XAUTOCLAIM", self.key, group, self._gateway, _TAKEN_OVER_MS, "0", "COUNT", ROWS_MAX)
        return [each for each in (await answer(line, *words))[1] if each]

    async def acknowledge(self, line: Line, group: str, entries: Sequence[Any]) -> None:
        if entries:
            await answer(line, "XACK", self.key, group, *(entry[0] for entry in entries))

    async def not_acknowledged(self, line: Line, group: str) -> list[Any]:
        """All rows that this gateway has read, and `group` may not have."""
        positions = {each[b"name"].decode(): each for each in await self._described(line)}
        if group not in positions or self._gateway not in positions:
            raise Unanswered("it has lost its data")
        begin = await self._past(line, group, positions[group])
        end = positions[self._gateway][b"last-delivered-id"]
        found: list[Any] = []
        while some := await answer(line, "XRANGE", self.key, begin, end, "COUNT", ROWS_MAX):
            found += some
            begin = b"(" + some[-1][0]
        return found

    async def count(self, line: Line, *, drop_groups: bool) -> str:
        """Updates the numbers of unread rows. Returns up to which row every group has read: before the oldest
        pending row, or else the last delivered one. "" without groups."""
        gone = await self._gone(line) if drop_groups else ()
        oldest: list[tuple[int, int]] = []
        for facts in await self._described(line):
            name = facts[b"name"].decode()
            if name in gone:
                who = "archive in Postgres" if name == SHARED else f"gateway {name}"
                _log.warning("The %s has been away for too long, and its rows of the ledger are given up.", who)
                await answer(line, "XGROUP", "DESTROY", self.key, name)
                self._groups.discard(name)
                continue
            self._groups.add(name)
            oldest.append(_id_of(await self._past(line, name, facts)))
            lag = int(facts.get(b"lag") or 0)
            if name == self._gateway:
                self.waiting = lag
            elif name == SHARED:
                self.not_archived = lag + int(facts[b"pending"])
        return "-".join(map(str, min(oldest))) if oldest else ""

    async def trim(self, line: Line, oldest: str) -> None:
        """Trims everything before `oldest`."""
        if oldest:
            await answer(line, "XTRIM", self.key, "MINID", oldest)

    async def _gone(self, line: Line) -> set[str]:
        """The groups of gateways that are gone and have been holding up rows for too long."""
        first = await answer(line, "XRANGE", self.key, "-", "+", "COUNT", 1)
        if not first:
            return set()
        seconds, _ = await answer(line, "TIME")
        crowded = await answer(line, "XLEN", self.key) > _ROWS_KEPT_MAX
        before_ms = int(seconds) * 1000 - (_GROUP_KEPT_CROWDED_MS if crowded else _GROUP_KEPT_MS)
        there = {self._gateway.encode(), *await answer(line, "ZRANGE", self._gateways, 0, -1)}
        found = set()
        for facts in await self._described(line):
            read_ms = max(_id_of(facts[b"last-delivered-id"])[0], _id_of(first[0][0])[0])
            if facts[b"name"] not in there and read_ms < before_ms:
                found.add(facts[b"name"].decode())
        return found

    async def _described(self, line: Line) -> list[dict[bytes, Any]]:
        groups = await answer(line, "XINFO", "GROUPS", self.key)
        return [dict(zip(each[::2], each[1::2], strict=True)) for each in groups]

    async def _past(self, line: Line, name: str, facts: dict[bytes, Any]) -> bytes:
        """The oldest pending row, or else the last delivered one."""
        last: bytes = facts[b"last-delivered-id"]
        if facts[b"pending"]:
            last = (await answer(line, "XPENDING", self.key, name))[1] or last
        return last


def _id_of(text: bytes) -> tuple[int, int]:
    milliseconds, _, number = text.decode().partition("-")
    return int(milliseconds), int(number or 0)
