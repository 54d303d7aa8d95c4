"""The ledger of the store: each row is folded once into every archive, whoever dies in between, and it does not grow for ever."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from sidecar.spend.archive import Archive, Booking, read_since
from sidecar.spend.calendar import today_at
from sidecar.spend.ledger import Charge, Ledger, Line
from sidecar.store import fold as folding
from sidecar.store import operations
from sidecar.store.fold import LedgerFold
from sidecar.store.line import Line as Connection
from sidecar.store.outage import SpentSince
from tests.processes import reached
from tests.store.hosts import shared
from tests.store.servers import RELEASES, RedisProcess, Release

PREFIX = "{sidecar:default}1:"
TODAY = 20_000


def booking(number: int, micro: int = 7) -> Booking:
    line = Line(TODAY, "anna", "chat", Charge(1, 2, 3, micro_dollars=micro))
    return Booking(f"h.{number}", line, f"h.{number} {TODAY} {json.dumps(['chat', 'anna', *line.counts])}")


def test_a_row_that_comes_twice_is_added_once(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "spend.sqlite")
    assert len(archive.book([booking(1), booking(2), booking(1)], 100)) == 2
    assert archive.book([booking(2), booking(3)], 101) == [booking(3)]
    assert [id_ for id_, _ in archive.recent(0)] == ["h.1", "h.2", "h.3"]
    archive.close()
    (line,) = read_since(tmp_path / "spend.sqlite", "2000-01-01")
    assert (line.counts.calls, line.counts.micro_dollars) == (3, 21)


def test_an_archive_that_began_within_the_month_does_not_know_all_of_it(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "spend.sqlite")
    today = today_at(TODAY * 86_400)
    assert not archive.is_complete(today)
    archive.follows(7, TODAY * 86_400)
    assert not archive.is_complete(today)
    assert archive.is_complete(today_at((TODAY + 40) * 86_400))
    archive.follows(8, (TODAY + 39) * 86_400)  # other data, whose rows it has had
    assert archive.is_complete(today_at((TODAY + 40) * 86_400))
    archive.follows(8, (TODAY + 39) * 86_400)  # the same data, of which it was given up
    assert not archive.is_complete(today_at((TODAY + 40) * 86_400))
    archive.close()


class Gateway:
    """A supervisor's end, in this process."""

    def __init__(self, redis: RedisProcess, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self._archive = Archive(folder / "spend.sqlite")
        self._ledger = Ledger(folder)
        self._spent = SpentSince(folder)
        self.fold = LedgerFold(shared(redis.port), folder.name, self._archive, self._ledger, self._spent)
        self._task = asyncio.create_task(self.fold.run())

    async def stop(self) -> None:
        """Between any two of its steps."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._archive.close()
        self._ledger.close()
        self._spent.close()

    async def trim(self, line: Connection, *, drop_groups: bool) -> None:
        await self.fold.stream.trim(line, await self.fold.stream.count(line, drop_groups=drop_groups))

    @property
    def calls(self) -> int:
        return sum(line.counts.calls for line in read_since(self.folder / "spend.sqlite", "2000-01-01"))


@pytest.mark.parametrize("release", RELEASES)
async def test_a_fold_that_dies_at_any_step_loses_and_doubles_nothing(release: Release, tmp_path: Path) -> None:
    with RedisProcess(release, tmp_path / "redis") as redis:
        gateway = Gateway(redis, tmp_path / "a")
        await reached(lambda: (redis.ask("GET", PREFIX + "epoch") or b"").startswith(b"ready"), what="the sums")
        number = 0
        for round_ in range(12):
            for _ in range(100):
                number += 1
                row = json.dumps(["chat", "anna", *Charge(1, 2, 3, micro_dollars=7)]).encode()
                words = operations.settle(b"h", number, 1, 5, 7, row)
                redis.ask("EVAL", operations.SCRIPT, 1, PREFIX, words, b"", words, b"")
            await asyncio.sleep(0.003 * round_)
            await gateway.stop()
            gateway = Gateway(redis, tmp_path / "a")
        await reached(lambda: gateway.calls == number, 20, "the archive")
        await asyncio.sleep(2 * folding._PAUSE_S)
        assert gateway.calls == number
        await gateway.stop()


async def test_rows_leave_the_stream_when_all_have_them_and_no_sooner(redis: RedisProcess, tmp_path: Path) -> None:
    first = Gateway(redis, tmp_path / "a")
    await reached(lambda: redis.ask("EXISTS", PREFIX + "ledger"), what="the stream")
    redis.ask("XGROUP", "CREATE", PREFIX + "ledger", "slow", "0")
    row = json.dumps(["chat", "anna", *Charge(1)]).encode()
    for number in range(1, 51):
        redis.ask("EVAL", operations.SCRIPT, 1, PREFIX, operations.settle(b"h", number, 1, 0, 0, row), b"")
    await reached(lambda: first.calls == 50, 20, "the archive")
    line = (await first.fold._connector.connect()).line
    await first.trim(line, drop_groups=True)
    assert redis.ask("XLEN", PREFIX + "ledger") == 50
    redis.ask("XREADGROUP", "GROUP", "slow", "1", "COUNT", 20, "STREAMS", PREFIX + "ledger", ">")
    await first.trim(line, drop_groups=True)
    assert redis.ask("XLEN", PREFIX + "ledger") == 50  # read, and not acknowledged
    for entry in redis.ask("XRANGE", PREFIX + "ledger", "-", "+", "COUNT", 20):
        redis.ask("XACK", PREFIX + "ledger", "slow", entry[0])
    await first.trim(line, drop_groups=True)
    assert 30 <= redis.ask("XLEN", PREFIX + "ledger") <= 31
    line.abort()
    await first.stop()


async def test_a_gateway_that_is_away_for_a_day_holds_up_nobody(redis: RedisProcess, tmp_path: Path) -> None:
    first = Gateway(redis, tmp_path / "a")
    await reached(lambda: redis.ask("EXISTS", PREFIX + "ledger"), what="the stream")
    stream, old_ms = PREFIX + "ledger", (int(redis.ask("TIME")[0]) - 90_000) * 1000
    redis.ask("XGROUP", "CREATE", stream, "gone", "0")
    redis.ask("XADD", stream, f"{old_ms}-1", "e", booking(1).text)
    redis.ask("XADD", stream, "*", "e", booking(2).text)
    await reached(lambda: first.calls == 2, 20, "the archive")
    connected = await first.fold._connector.connect()
    await first.trim(connected.line, drop_groups=False)
    assert redis.ask("XLEN", stream) == 2
    await first.trim(connected.line, drop_groups=True)
    assert redis.ask("XLEN", stream) <= 1
    assert [group[1] for group in redis.ask("XINFO", "GROUPS", stream)] == [b"a"]
    connected.line.abort()
    await first.stop()
