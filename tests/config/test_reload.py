"""Following a config file on a real disk: every way in which files are replaced."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sidecar.config import ConfigErrors
from sidecar.config.settle import Timing
from sidecar.config.watcher import ConfigChange, Watcher
from tests.config.loading import ENV, route
from tests.processes import reached

# Only an event brings an answer in time: the poll would come after a minute.
TIMING = Timing(look_s=0.005, closed_s=0.02, unknown_s=0.02, poll_s=60.0)
DEADLINE_S = 10.0


class Followed:
    """A watcher that runs; `next` is its next reload."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self._reloads: asyncio.Queue[ConfigChange] = asyncio.Queue()

    async def run(self) -> None:
        async for reload in self.watcher.reloads():
            self._reloads.put_nowait(reload)

    async def next(self) -> ConfigChange:
        async with asyncio.timeout(DEADLINE_S):
            return await self._reloads.get()

    async def routes(self) -> list[str]:
        """Of the first usable reload that comes."""
        while (reload := await self.next()).snapshot is None:
            pass
        return list(reload.snapshot.routes)

    async def key(self) -> str:
        snapshot = (await self.next()).snapshot
        assert snapshot is not None
        key = snapshot.routes["chat"].upstreams[0].key
        assert key is not None
        return key.reveal()

    async def nothing(self) -> None:
        """What has happened was looked at and is no reload: a canary in the directory is noticed after it."""
        for name in ("canary", "another"):
            seen = self.watcher.looks
            Path(self.watcher.path).with_name(name).touch()
            await reached(lambda: self.watcher.looks > seen)  # noqa: B023
        assert self._reloads.empty()


@asynccontextmanager
async def followed(path: Path) -> AsyncIterator[Followed]:
    watcher = Watcher(str(path), ENV, timing=TIMING)
    watcher.load()
    following = Followed(watcher)
    task = asyncio.create_task(following.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            await watcher.started.wait()
        yield following
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def named(name: str) -> str:
    return route().replace("name: chat", f"name: {name}")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(named("one"))
    return path


async def test_an_edit_in_place_is_loaded(config: Path) -> None:
    async with followed(config) as following:
        config.write_text(named("two"))
        assert await following.routes() == ["two"]


async def test_a_file_moved_over_it_is_loaded_each_time(config: Path) -> None:
    async with followed(config) as following:
        for name in ("two", "three"):
            new = config.with_name("config.yaml.new")
            new.write_text(named(name))
            new.rename(config)
            assert await following.routes() == [name]


async def test_a_configmaps_symlink_swap_is_loaded_each_time(tmp_path: Path) -> None:
    def publish(version: str) -> None:
        (tmp_path / version).mkdir()
        (tmp_path / version / "config.yaml").write_text(named(version))
        os.symlink(version, tmp_path / "..data_tmp")
        os.rename(tmp_path / "..data_tmp", tmp_path / "..data")

    publish("v1")
    os.symlink("..data/config.yaml", tmp_path / "config.yaml")
    async with followed(tmp_path / "config.yaml") as following:
        for version in ("v2", "v3"):
            publish(version)
            assert await following.routes() == [version]


async def test_an_edit_behind_a_symlink_to_another_directory_is_loaded(tmp_path: Path) -> None:
    for directory in ("real", "linked"):
        (tmp_path / directory).mkdir()
    real, linked = tmp_path / "real" / "gateway.yaml", tmp_path / "linked" / "config.yaml"
    real.write_text(named("one"))
    linked.symlink_to(real)
    async with followed(linked) as following:
        real.write_text(named("two"))
        assert await following.routes() == ["two"]


async def test_a_bad_file_says_why_and_the_next_good_one_is_loaded(config: Path) -> None:
    async with followed(config) as following:
        config.write_text(route(provider="opnai"))
        reload = await following.next()
        assert reload.snapshot is None
        assert [problem.line for problem in reload.problems] == [4]
        config.write_text(named("two"))
        assert await following.routes() == ["two"]


async def test_a_deleted_file_says_so_once_and_is_picked_up_when_it_returns(config: Path) -> None:
    async with followed(config) as following:
        config.unlink()
        reload = await following.next()
        assert [problem.message for problem in reload.problems] == ["does not exist"]
        (config.parent / "other").touch()
        await following.nothing()
        config.write_text(named("two"))
        assert await following.routes() == ["two"]


async def test_a_half_written_file_ends_in_the_whole_one(config: Path) -> None:
    async with followed(config) as following:
        with config.open("w") as file:
            file.write(named("two")[:40])
            file.flush()
            seen = following.watcher.looks
            await reached(lambda: following.watcher.looks > seen + 10)
            file.write(named("two")[40:])
        assert [list(reload.snapshot.routes) for reload in [await following.next()] if reload.snapshot] == [["two"]]


async def test_the_same_content_again_is_no_reload_unless_asked(config: Path) -> None:
    async with followed(config) as following:
        config.write_text(named("one"))
        await following.nothing()
        following.watcher.poke()
        assert await following.routes() == ["one"]
        await following.nothing()


async def test_a_new_key_in_a_secret_file_is_loaded_even_in_another_directory(tmp_path: Path) -> None:
    secret, config = tmp_path / "secrets" / "key", tmp_path / "conf" / "config.yaml"
    for directory in (secret.parent, config.parent):
        directory.mkdir()
    secret.write_text("old\n")
    config.write_text(route(config="openai_api_key: file:../secrets/key"))
    async with followed(config) as following:
        secret.write_text("new\n")
        assert await following.key() == "new"
        secret.with_name("tmp").write_text("newest\n")
        secret.with_name("tmp").rename(secret)
        assert await following.key() == "newest"


async def test_a_secret_directory_named_by_an_edit_is_followed_from_then_on(config: Path) -> None:
    secret = config.parent / "later" / "key"
    secret.parent.mkdir()
    secret.write_text("old")
    async with followed(config) as following:
        config.write_text(route(config=f"openai_api_key: {secret}"))
        assert await following.key() == "old"
        await following.nothing()  # the watch has moved by now
        secret.write_text("new")
        assert await following.key() == "new"


async def test_a_directory_that_is_replaced_is_followed(tmp_path: Path) -> None:
    directory = tmp_path / "conf"
    directory.mkdir()
    config = directory / "config.yaml"
    config.write_text(named("one"))
    async with followed(config) as following:
        config.unlink()
        directory.rmdir()
        assert (await following.next()).snapshot is None
        directory.mkdir()
        config.write_text(named("two"))
        following.watcher.poke()  # without it the poll finds the directory later
        assert await following.routes() == ["two"]
        config.write_text(named("three"))
        assert await following.routes() == ["three"]


async def test_a_directory_that_is_replaced_at_once_is_followed(tmp_path: Path) -> None:
    """The new one may have the inode of the old one, of which the kernel reports nothing any more."""
    directory = tmp_path / "conf"
    directory.mkdir()
    config = directory / "config.yaml"
    config.write_text(named("one"))
    async with followed(config) as following:
        config.unlink()
        directory.rmdir()
        directory.mkdir()
        config.write_text(named("two"))
        assert await following.routes() == ["two"]
        config.write_text(named("three"))
        assert await following.routes() == ["three"]


async def test_a_change_between_load_and_watch_is_not_missed(config: Path) -> None:
    watcher = Watcher(str(config), ENV, timing=TIMING)
    watcher.load()
    config.write_text(named("two"))
    following = Followed(watcher)
    task = asyncio.create_task(following.run())
    try:
        assert await following.routes() == ["two"]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_first_load_of_a_bad_file_raises_and_following_it_works(config: Path) -> None:
    config.write_text("routes: [")
    watcher = Watcher(str(config), ENV, timing=TIMING)
    with pytest.raises(ConfigErrors):
        watcher.load()
    following = Followed(watcher)
    task = asyncio.create_task(following.run())
    try:
        await watcher.started.wait()
        config.write_text(named("two"))
        assert await following.routes() == ["two"]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("turns", range(0, 3000, 300))
async def test_following_ends_when_it_is_cancelled_at_the_very_moment_of_a_change(config: Path, turns: int) -> None:
    watcher = Watcher(str(config), ENV, timing=TIMING)
    watcher.load()
    task = asyncio.create_task(Followed(watcher).run())
    for _ in range(turns):  # from not yet begun to waiting for the next change
        await asyncio.sleep(0)
    watcher.poke()
    task.cancel()
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
