"""A config that is being written: at no moment may anybody do more than the old or the new file says."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from sidecar.config import ConfigErrors, digest
from sidecar.config.settle import Timing
from sidecar.config.watcher import Ask
from sidecar.domain.snapshot import Snapshot
from sidecar.supervisor.configuration import Configuration, Reading
from sidecar.supervisor.start.options import Options
from sidecar.supervisor.start.start_error import StartError
from sidecar.supervisor.start.state import StateDir
from tests.config.half import NEW, OLD, WRITERS, Writer, excess
from tests.config.loading import loaded
from tests.processes import reached

# Nothing that opens is taken by itself here: what a pause may last is another test's.
TIMING = Timing(look_s=0.004, closed_s=0.012, unknown_s=0.012, opening_s=60.0, poll_s=0.004)
# Enough for an edit to be noticed, to settle and to be read.
LOOKS = 12
AT_ONCE = 6
RANDOM_CUTS = 6
LINES = [index + 1 for index, character in enumerate(NEW) if character == "\n"][:-1]
CUTS = sorted({*LINES, *random.Random(9).sample(range(1, len(NEW)), RANDOM_CUTS)})
# Where all of the routes and none of the consumers are there.
BARE = NEW.index("consumers:")


@dataclass
class Follower:
    """Whoever follows `path`: every snapshot that was in use, and how often it has looked."""

    path: Path
    looks: Callable[[], int]
    finish: Callable[[], Awaitable[None]]
    """Returns once it has read what is there now."""
    seen: list[Snapshot] = field(default_factory=list)

    async def pause(self) -> None:
        enough = self.looks() + LOOKS
        await reached(lambda: self.looks() >= enough, 30)

    async def replace(self, text: str) -> None:
        fresh = self.path.with_name("fresh")
        fresh.write_text(text)
        fresh.replace(self.path)
        await self.finish()


@asynccontextmanager
async def gateway(folder: Path, timing: Timing = TIMING) -> AsyncIterator[Follower]:
    """The supervisor's own configuration."""
    folder.mkdir()
    path = folder / "config.yaml"
    path.write_text(OLD)
    state = StateDir.open(folder / "state")
    configuration = Configuration(Options(config_path=path), state, None, timing)
    configuration.load()

    async def follow() -> None:
        async for reload in configuration.changes():
            reading = await asyncio.to_thread(configuration.up_to_date, reload)
            if isinstance(reading, Reading):
                configuration.taken(reading)
                follower.seen.append(reading.snapshot)
            for ask in reload.asks:
                ask.answer("" if isinstance(reading, Reading) else reading.why)

    async def finish() -> None:
        verdict: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        configuration.ask(Ask(verdict))
        async with asyncio.timeout(30):
            assert await verdict == ""

    follower = Follower(path, lambda: configuration.looks, finish, [configuration.snapshot])
    task = asyncio.create_task(follow())
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        state.close()


@asynccontextmanager
async def hasty(folder: Path) -> AsyncIterator[Follower]:
    """The fault: it takes whatever it can read."""
    folder.mkdir()
    path = folder / "config.yaml"
    path.write_text(OLD)
    looks, last = 0, ""

    async def follow() -> None:
        nonlocal looks, last
        while True:
            await asyncio.sleep(TIMING.look_s)
            looks += 1
            try:
                last = path.read_text()
                follower.seen.append(loaded(last))
            except (ConfigErrors, OSError):
                continue

    async def finish() -> None:
        await reached(lambda: last == path.read_text(), 30)

    follower = Follower(path, lambda: looks, finish, [loaded(OLD)])
    task = asyncio.create_task(follow())
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


Following = Callable[[Path], AbstractAsyncContextManager[Follower]]


async def opened_at(following: Following, folder: Path, writer: Writer, cuts: list[int]) -> dict[int, object]:
    """By cut: what somebody could do meanwhile and may by neither file."""
    found: dict[int, object] = {}

    async def some(number: int) -> None:
        async with following(folder / str(number)) as follower:
            for cut in cuts[number::AT_ONCE]:
                follower.seen = follower.seen[-1:]
                await writer(follower.path, NEW, cut, follower.pause)
                await follower.finish()
                assert follower.seen[-1].hash == digest(NEW, {}), f"the whole file is in use in the end, cut at {cut}"
                if more := excess(follower.seen, loaded(OLD), loaded(NEW)):
                    found[cut] = more
                await follower.replace(OLD)

    async with asyncio.TaskGroup() as group:
        for number in range(min(AT_ONCE, len(cuts))):
            group.create_task(some(number))
    return found


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
async def test_at_no_moment_may_anybody_do_more_than_the_old_or_the_new_file_says(
    tmp_path: Path, writer: Writer
) -> None:
    assert await opened_at(gateway, tmp_path, writer, CUTS) == {}


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
async def test_the_same_check_finds_a_follower_that_takes_what_it_can_read(tmp_path: Path, writer: Writer) -> None:
    # Written in place the old consumers still stand behind the new routes, until they are overwritten one by one.
    cuts = CUTS if writer.__name__ == "in_place" else [BARE]
    assert await opened_at(hasty, tmp_path, writer, cuts)


async def test_what_opens_waits_longer_and_any_other_edit_does_not(tmp_path: Path) -> None:
    """Both files stand as they are; the first is taken at once, the second not while it looks many times."""
    async with gateway(tmp_path / "it") as follower:
        follower.path.write_text(OLD.replace("requests: 5", "requests: 4"))
        await reached(lambda: len(follower.seen) == 2, 30)
        follower.path.write_text(NEW)
        await follower.pause()
        assert len(follower.seen) == 2
    async with gateway(tmp_path / "soon", replace(TIMING, opening_s=0.1)) as follower:
        follower.path.write_text(NEW)
        await reached(lambda: len(follower.seen) == 2, 30)


async def test_a_loss_is_not_taken_by_itself_however_long_it_stands(tmp_path: Path) -> None:
    async with gateway(tmp_path / "it", replace(TIMING, opening_s=0.0)) as follower:
        follower.path.write_text(OLD[: OLD.index("consumers:")])
        await follower.pause()
        await follower.pause()
        assert len(follower.seen) == 1
        follower.path.write_text(OLD.replace("requests: 5", "requests: 4"))
        await reached(lambda: len(follower.seen) == 2, 30)
        assert excess(follower.seen, loaded(OLD), loaded(OLD)) == set()


async def test_a_key_file_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    key = tmp_path / "it" / "key"
    async with gateway(tmp_path / "it") as follower:
        key.write_text("first-key")
        follower.path.write_text(OLD.replace("openai_api_key: k", "openai_api_key: file:key"))
        await reached(lambda: len(follower.seen) == 2, 30)
        with key.open("w") as file:
            file.write("second-")
            file.flush()
            await follower.pause()
            file.write("key")
        await reached(lambda: len(follower.seen) == 3, 30)
    keys = [snapshot.routes["chat"].upstreams[0].key for snapshot in follower.seen]
    assert [key.reveal() for key in keys if key is not None] == ["k", "first-key", "second-key"]


def test_a_start_waits_for_the_writer_and_fails_where_that_does_not_end(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    state = StateDir.open(tmp_path / "state")
    try:
        with path.open("w") as file:
            file.write(NEW[:BARE])
            file.flush()
            timing = replace(TIMING, start_s=0.1)
            with pytest.raises(StartError, match=r"is still being written after 0\.1 s; start again once"):
                Configuration(Options(config_path=path), state, None, timing).load()
            configuration = Configuration(Options(config_path=path), state, None, TIMING)
            with ThreadPoolExecutor(1) as pool:
                loading = pool.submit(configuration.load)
                file.write(NEW[BARE:])
                file.close()
                assert loading.result(30).hash == digest(NEW, {})
    finally:
        state.close()
