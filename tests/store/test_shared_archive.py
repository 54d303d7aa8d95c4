"""The archive in Postgres: a row counts once whoever writes it, tables are made once, and it says what is wrong with it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import trustme

from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import CaBundle, PostgresServer
from sidecar.spend.archive import Booking, booking
from sidecar.spend.calendar import date_of, today_at
from sidecar.spend.ledger import Charge, Line
from sidecar.spend.shared_archive import ArchiveError, SharedArchive, more
from tests.processes import free_port
from tests.store.postgres import Database, PostgresProcess

TODAY = today_at(datetime.now(UTC).timestamp()).day
ALL = "2000-01-01"


def row(number: int, consumer: str = "anna", day: int = TODAY) -> Booking:
    return booking(f"h.{number}", day, "chat", consumer, Charge(1, 10, 5, micro_dollars=7))


async def write(server: PostgresServer, rows: list[Booking], installation: str = "default") -> int:
    async with SharedArchive(server, installation) as archive:
        return await archive.book(rows)


async def refused(server: PostgresServer) -> str:
    with pytest.raises(ArchiveError) as raised:
        await write(server, [row(1)])
    return str(raised.value)


async def test_a_row_counts_once_however_many_write_it_at_once(postgres: Database) -> None:
    rows = [row(number, consumer) for number in range(400) for consumer in ("anna", "ben")][::2]
    both = [*rows, *rows[::-1]]
    done = await asyncio.gather(*(write(postgres.server, both[at:] + both[:at]) for at in (0, 40, 99, 300, 350)))
    assert sum(done) == 400
    assert await postgres.sums() == [("anna", "chat", 400, 2_800)]


async def test_lines_are_of_one_installation_and_from_the_day_on(postgres: Database) -> None:
    await write(postgres.server, [row(1), row(2, day=TODAY - 3), row(3, "ben")])
    await write(postgres.server, [row(1)], "other")
    async with SharedArchive(postgres.server, "default") as archive:
        found = await archive.lines(date_of(TODAY - 1))
    charge = Charge(1, 10, 5, micro_dollars=7)
    assert found == [Line(TODAY, "anna", "chat", charge), Line(TODAY, "ben", "chat", charge)]


async def test_names_that_a_text_of_postgres_cannot_hold_keep_no_row_out(postgres: Database) -> None:
    assert await write(postgres.server, [row(1, "a\0b"), row(2, "a\ud800b"), row(3, "'; DROP TABLE x")]) == 3
    assert [each[0] for each in await postgres.sums()] == ["'; DROP TABLE x", "a?b", "a\ufffdb"]


async def test_a_connection_that_dies_within_a_transaction_leaves_nothing(postgres: Database) -> None:
    async with SharedArchive(postgres.server, "default") as archive:

        async def left_in_between() -> None:
            async with archive.alone():
                assert await archive.book([row(1)]) == 1
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await left_in_between()
    assert await postgres.sums() == []
    assert await write(postgres.server, [row(1)]) == 1


async def test_whoever_is_alone_lets_nobody_add(postgres: Database) -> None:
    async with SharedArchive(postgres.server, "default") as archive, archive.alone():
        waiting = asyncio.create_task(write(postgres.server, [row(1)]))
        assert await write(postgres.server, [row(1)], "other") == 1
        assert await archive.lines(ALL) == []
        assert not waiting.done()
    assert await waiting == 1


async def test_rows_are_swept_and_sums_stay(postgres: Database) -> None:
    await write(postgres.server, [row(1), row(2)])
    await postgres.ask("UPDATE gateway_ledger SET added = now() - interval '3 days' WHERE id = 'h.1'")
    async with SharedArchive(replace(postgres.server, rows_kept_s=2 * 86_400.0), "default") as archive:
        await archive.sweep()
        assert [line.counts.calls for line in await archive.lines(ALL)] == [2]
    assert [each[0] for each in await postgres.ask("SELECT id FROM gateway_ledger")] == ["h.2"]


async def test_a_sum_that_is_not_that_of_its_rows_is_found(postgres: Database) -> None:
    await write(postgres.server, [row(1), row(2, "ben")])
    async with SharedArchive(postgres.server, "default") as archive:
        assert await archive.differences(ALL) == []
        await postgres.ask("UPDATE gateway_spend SET micro_dollars = 8 WHERE consumer = 'ben'")
        (found,) = await archive.differences(ALL)
    assert (found.sum.consumer, found.sum.counts.micro_dollars, found.of_rows.micro_dollars) == ("ben", 8, 7)


async def test_tables_are_made_once_by_gateways_that_start_together(postgres: Database) -> None:
    await asyncio.gather(*(write(postgres.server, [row(number)]) for number in range(8)))
    assert await postgres.ask("SELECT version FROM gateway_schema") == [(1,)]
    assert await postgres.sums() == [("anna", "chat", 8, 56)]


async def test_tables_of_a_newer_release_are_left_alone(postgres: Database) -> None:
    await write(postgres.server, [row(1)])
    await postgres.ask("UPDATE gateway_schema SET version = 99")
    assert "newer release (version 99" in await refused(postgres.server)


async def test_a_user_who_may_only_write_is_enough_once_there_are_tables(postgres: Database) -> None:
    await postgres.ask("DROP ROLE IF EXISTS writer")
    await postgres.ask("CREATE ROLE writer LOGIN PASSWORD 'w'")
    writer = replace(postgres.server, username="writer", password=Secret("w"))
    assert "permission denied for schema public" in await refused(writer)
    await write(postgres.server, [row(1)])
    await postgres.ask("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO writer")
    assert await write(writer, [row(1), row(2)]) == 1
    await postgres.ask("DROP OWNED BY writer")


async def test_it_says_why_it_cannot_be_reached(postgres: Database) -> None:
    server = postgres.server
    assert "password authentication failed" in await refused(replace(server, password=Secret("wrong")))
    assert 'database "none" does not exist' in await refused(replace(server, database="none"))
    assert "Connect call failed" in await refused(replace(server, port=free_port()))
    assert "SSL" in await refused(replace(server, tls=True)), "a server without TLS is not asked for the password"


async def test_a_server_that_stops_answering_is_given_up(postgres: Database) -> None:
    async with SharedArchive(postgres.server, "default") as archive:
        postgres.process.pause(paused=True)
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await archive.book([row(1)])
        finally:
            postgres.process.pause(paused=False)
    assert await write(postgres.server, [row(1), row(2)]) in (1, 2), "whether it was done is not known; the id is"
    assert await postgres.sums() == [("anna", "chat", 2, 14)]


@asynccontextmanager
async def behind_tls(process: PostgresProcess, context: ssl.SSLContext) -> AsyncIterator[int]:
    """A server that has TLS: what answers a client's request for it, and ends it before the real one."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert len(await reader.readexactly(8)) == 8  # SSLRequest
        writer.write(b"S")
        try:
            await writer.start_tls(context)
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", process.port)
            await asyncio.gather(pipe(reader, far_writer), pipe(far_reader, writer), return_exceptions=True)
            far_writer.close()
        except OSError:
            pass
        writer.close()
        ended.set()

    ended = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
        await ended.wait()
    finally:
        server.close()


async def test_tls_with_the_ca_of_the_config_and_with_no_other(postgres: Database) -> None:
    ca, other = trustme.CA(), trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    for authority in (ca, other):
        async with behind_tls(postgres.process, context) as port:
            bundle = CaBundle("ca.pem", authority.cert_pem.bytes().decode())
            server = replace(postgres.server, port=port, tls=True, ca=bundle)
            if authority is ca:
                assert await write(server, [row(1)]) == 1
            else:
                assert "certificate" in (await refused(server)).lower()


def test_a_line_with_more_calls_is_what_one_has_more_of() -> None:
    one = [Line(1, "a", "r", Charge(3, 30)), Line(1, "b", "r", Charge(1, 10)), Line(2, "a", "r", Charge(2, 20))]
    other = [Line(1, "a", "r", Charge(1, 10)), Line(2, "a", "r", Charge(2, 20)), Line(3, "a", "r", Charge(9, 90))]
    assert more(one, other) == [Line(1, "a", "r", Charge(2, 20)), Line(1, "b", "r", Charge(1, 10))]
