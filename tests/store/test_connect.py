"""How a gateway comes to the master: credentials, TLS, a cluster's node, sentinels; and what it says where it does not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import CaBundle, RedisServer, SharedStore
from sidecar.store.connect import Connected, Connector
from sidecar.store.line import StoreError
from tests.processes import free_port, reached
from tests.store.servers import RedisProcess, program

HOST = "127.0.0.1"


async def connected(*ports: int, **more: Any) -> Connected:
    server = RedisServer(tuple((HOST, port) for port in ports), **more)
    found = await Connector(SharedStore(server)).connect()
    found.line.abort()
    return found


async def refused(*ports: int, **more: Any) -> str:
    with pytest.raises(StoreError) as raised:
        await connected(*ports, **more)
    return str(raised.value)


async def test_a_server_without_sums_is_told_from_one_with_them(redis: RedisProcess) -> None:
    assert (await connected(redis.port)).epoch is None
    redis.ask("SET", "{sidecar:default}1:epoch", "ready 7")
    assert (await connected(redis.port)).epoch == b"ready 7"


async def test_another_life_of_the_server_is_known(redis: RedisProcess) -> None:
    first = await connected(redis.port)
    redis.kill()
    redis.start()
    assert (await connected(redis.port)).life != first.life


async def test_nobody_there(tmp_path: Path) -> None:
    assert "refused" in (await refused(free_port())).lower() or "connect" in (await refused(free_port())).lower()


async def test_a_user_with_a_password(redis: RedisProcess) -> None:
    redis.ask("ACL", "SETUSER", "gateway", "on", ">secret", "~{sidecar:*}*", "+@all")
    assert await connected(redis.port, username="gateway", password=Secret("secret"))
    assert "WRONGPASS" in await refused(redis.port, username="gateway", password=Secret("wrong"))


async def test_a_database_by_number(redis: RedisProcess) -> None:
    client = RedisServer(((HOST, redis.port),), db=3)
    found = await Connector(SharedStore(client)).connect()
    await found.line.ask("SET", "where", "here")
    found.line.abort()
    assert redis.ask("EXISTS", "where") == 0


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with RedisProcess("6.2", tmp_path / "redis", "--unixsocket", str(path)):
        found = await Connector(SharedStore(RedisServer(((str(path), 0),)))).connect()
        assert await found.line.ask("PING") == b"PONG"
        found.line.abort()


async def test_a_replica_is_no_store(redis: RedisProcess, tmp_path: Path) -> None:
    with RedisProcess("8.2", tmp_path / "replica", "--replicaof", f"{HOST} {redis.port}") as replica:
        assert "replica" in await refused(replica.port)


@asynccontextmanager
async def behind_tls(port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """What ends TLS before a server: the port."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(HOST, port)
        try:
            await asyncio.gather(pipe(reader, far_writer), pipe(far_reader, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            far_writer.close()
            writer.close()

    server = await asyncio.start_server(serve, HOST, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_tls_with_the_ca_of_the_config_and_with_no_other(redis: RedisProcess) -> None:
    ca, other = trustme.CA(), trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(HOST).configure_cert(context)

    def trusting(authority: trustme.CA) -> CaBundle:
        return CaBundle("ca.pem", authority.cert_pem.bytes().decode())

    async with behind_tls(redis.port, context) as port:
        assert await connected(port, tls=True, ca=trusting(ca))
        assert "certificate" in (await refused(port, tls=True, ca=trusting(other))).lower()


async def test_a_cluster_leads_to_the_node_that_has_the_keys(tmp_path: Path) -> None:
    options = ("--cluster-enabled", "yes", "--cluster-announce-ip", HOST)
    with (
        RedisProcess("8.2", tmp_path / "a", *options) as first,
        RedisProcess("8.2", tmp_path / "b", *options) as second,
    ):
        slot = first.ask("CLUSTER", "KEYSLOT", "{sidecar:default}1:epoch")
        first.ask("CLUSTER", "MEET", HOST, second.port)
        ranges = [each for each in ((0, slot - 1), (slot + 1, 16_383)) if each[0] <= each[1]]
        for low, high in ranges:
            first.ask("CLUSTER", "ADDSLOTSRANGE", low, high)
        second.ask("CLUSTER", "ADDSLOTS", slot)
        await reached(lambda: b"cluster_state:ok" in first.ask("CLUSTER", "INFO"), 20, "the cluster")
        await reached(lambda: b"cluster_state:ok" in second.ask("CLUSTER", "INFO"), 20, "the cluster")
        second.ask("SET", "{sidecar:default}1:epoch", "ready 9")
        assert (await connected(first.port, cluster=True)).epoch == b"ready 9"
        assert "MOVED" in await refused(first.port)


async def test_sentinels_know_the_master(redis: RedisProcess, tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "sentinel.conf"
    config.write_text(f"port {port}\nbind {HOST}\ndir {tmp_path}\nsentinel monitor mine {HOST} {redis.port} 1\n")
    process = await asyncio.create_subprocess_exec(
        str(program("8.2")), str(config), "--sentinel", stdout=asyncio.subprocess.DEVNULL
    )
    try:
        redis.ask("SET", "{sidecar:default}1:epoch", "ready 5")

        async def answers() -> bool:
            try:
                return (await connected(free, port, sentinel="mine")).epoch == b"ready 5"
            except StoreError:
                return False

        free = free_port()  # a sentinel that is down
        while not await answers():
            await asyncio.sleep(0.05)
        assert "no master" in await refused(port, sentinel="other")
    finally:
        process.kill()
        await process.wait()
