"""The master dies under load and its replica is promoted by those who do that in production: sentinels, or the cluster itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from sidecar.domain.snapshot import RedisServer, SharedStore
from tests.processes import free_port, reached
from tests.provider import Provider
from tests.store.fleet import PREFIX, Fleet
from tests.store.servers import RedisProcess, ask, program
from tests.store.test_faults import AFTER, BEFORE, snapshot

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
HOST = "127.0.0.1"
# A master that does not answer for so long is dead. One that a busy machine holds up is not: it would be replaced again.
DOWN_MS = 3_000


async def linked(replica: RedisProcess) -> None:
    await reached(lambda: b"master_link_status:up" in replica.ask("INFO", "replication"), 20, "the replica")


async def promoted(replica: RedisProcess) -> None:
    await reached(lambda: replica.ask("ROLE")[0] == b"master", 30, "the promotion")


@asynccontextmanager
async def sentinels(folder: Path, master: int, count: int = 3) -> AsyncIterator[tuple[int, ...]]:
    """Three, of which two must agree."""
    ports = tuple(free_port() for _ in range(count))
    processes = []
    try:
        for port in ports:
            (folder / str(port)).mkdir()
            config = folder / str(port) / "sentinel.conf"
            config.write_text(
                f"port {port}\nbind {HOST}\ndir {folder / str(port)}\nsentinel monitor mine {HOST} {master} 2\n"
                f"sentinel down-after-milliseconds mine {DOWN_MS}\nsentinel failover-timeout mine 5000\n"
            )
            words = (str(program("8.2")), str(config), "--sentinel")
            processes.append(await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.DEVNULL))

        def know_each_other() -> bool:
            found = [ask(port, ("SENTINEL", "MASTER", "mine")) for port in ports]
            facts = [dict(zip(each[::2], each[1::2], strict=True)) for each in found]
            return all(each[b"num-other-sentinels"] == b"2" and each[b"num-slaves"] == b"1" for each in facts)

        async with asyncio.timeout(30):
            while True:
                try:
                    if know_each_other():
                        break
                except OSError:
                    pass
                await asyncio.sleep(0.1)
        yield ports
    finally:
        for process in processes:
            process.kill()
            await process.wait()


async def fail_over(fleet: Fleet, master: RedisProcess, replica: RedisProcess) -> None:
    """The master dies while there are calls, which are decided without it; the replica has all of them afterwards."""
    async with fleet.calling():
        await fleet.more(BEFORE)
        master.kill()
        await promoted(replica)
        await fleet.up()
        await fleet.more(AFTER)
    assert fleet.outcomes["ok without the store"]
    await fleet.agreed(replica)


async def test_sentinels_promote_a_replica_and_nothing_is_lost_or_booked_twice(
    provider: Provider, redis: RedisProcess, tmp_path: Path
) -> None:
    redis.ask("CONFIG", "SET", "repl-diskless-sync-delay", 0)
    with RedisProcess("8.2", tmp_path / "replica", "--replicaof", f"{HOST} {redis.port}") as replica:
        await linked(replica)
        async with sentinels(tmp_path, redis.port) as ports:
            addresses = ((HOST, free_port()), *((HOST, port) for port in ports))  # the first is down
            store = SharedStore(RedisServer(addresses, sentinel="mine"))
            async with Fleet(provider, snapshot(provider, "allow"), store, tmp_path) as fleet:
                await fail_over(fleet, redis, replica)
                redis.start()  # as a master, until the sentinels make it a replica
                async with fleet.calling():
                    await fleet.more(BEFORE)
                assert fleet.outcomes.total() == fleet.outcomes["ok"] + fleet.outcomes["ok without the store"]
                await fleet.agreed(replica)


async def test_a_cluster_promotes_a_replica_and_nothing_is_lost_or_booked_twice(
    provider: Provider, tmp_path: Path
) -> None:
    options: tuple[str, ...] = (
        "--cluster-enabled",
        "yes",
        "--cluster-announce-ip",
        HOST,
        "--cluster-node-timeout",
        str(DOWN_MS),
    )
    options += ("--repl-diskless-sync-delay", "0", "--cluster-replica-validity-factor", "0")
    with ExitStack() as exits:
        nodes = [exits.enter_context(RedisProcess("valkey", tmp_path / name, *options)) for name in "abcd"]
        first, second, third, replica = nodes
        slot = first.ask("CLUSTER", "KEYSLOT", PREFIX + "epoch")
        for node in nodes[1:]:
            first.ask("CLUSTER", "MEET", HOST, node.port)
        third.ask("CLUSTER", "ADDSLOTS", slot)
        first.ask("CLUSTER", "ADDSLOTSRANGE", 0, slot - 1)
        second.ask("CLUSTER", "ADDSLOTSRANGE", slot + 1, 16_383)
        for node in nodes:
            await reached(lambda it=node: b"cluster_state:ok" in it.ask("CLUSTER", "INFO"), 20, "the cluster")  # type: ignore[misc]
        replica.ask("CLUSTER", "REPLICATE", third.ask("CLUSTER", "MYID"))
        await linked(replica)
        store = SharedStore(RedisServer(((HOST, first.port), (HOST, second.port)), cluster=True))
        async with Fleet(provider, snapshot(provider, "allow"), store, tmp_path) as fleet:
            await fail_over(fleet, third, replica)
