"""The spend of all gateways of an installation in a Postgres that they all write to: sums, and the rows behind
them.

A row has the id of its call's reservation, which is unique here, and is added to its sum in the same statement:
however many gateways write it, and however often, it counts once. The sums always equal those of the rows, which
`differences` verifies.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from sidecar.domain.snapshot import PostgresServer
from sidecar.spend.archive import Booking, booking
from sidecar.spend.calendar import date_of, day_of
from sidecar.spend.ledger import COUNTERS, Charge, Line

if TYPE_CHECKING:
    import asyncpg

MISSING = "`store.archive` needs asyncpg, which is not installed. Install it with: pip install 'llm-gateway-sidecar[postgres]'"
_CONNECT_S = 5.0
# A statement takes milliseconds. The server's own limit is longer: the locks of a gateway that was cut off are
# released after it.
_ANSWER_S = 5.0
_IN_TRANSACTION = "SET LOCAL lock_timeout = '4s'; SET LOCAL idle_in_transaction_session_timeout = '30s'"
_CORRECTED_AT_ONCE = 5_000
# Rows per deleting transaction.
_SWEPT_AT_ONCE = 10_000
# Names of advisory locks: this number, and one derived from the installation's name.
_LOCK_CLASS = 0x53_44_43_41
_NUMBERS = ", ".join(f"{name} bigint NOT NULL DEFAULT 0" for name in COUNTERS)
# Each runs once, in order. A release that counts more adds one; a released one never changes.
_MIGRATIONS = (
    f"""CREATE TABLE gateway_spend (
        installation text, day date, consumer text, route text, {_NUMBERS}, PRIMARY KEY (installation, day, consumer, route)
    );
    CREATE TABLE gateway_ledger (
        installation text, id text, added timestamptz NOT NULL DEFAULT now(), day date NOT NULL, consumer text NOT NULL,
        route text NOT NULL, {_NUMBERS}, PRIMARY KEY (installation, id)
    );
    CREATE INDEX gateway_ledger_added ON gateway_ledger USING brin (added);""",
)
# Not to_regclass(): within a transaction it does not see a table that another one has created since.
_IS_MADE = "SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'gateway_schema' AND pg_table_is_visible(oid))"
_NAMES = ", ".join(COUNTERS)
_COLUMNS = f"day, consumer, route, {_NAMES}"
_SUMS = ", ".join(f"sum({name})::bigint AS {name}" for name in COUNTERS)
_ARRAYS = ", ".join(
    ["$2::text[]", "$3::date[]", "$4::text[]", "$5::text[]"] + [f"${at + 6}::bigint[]" for at in range(len(COUNTERS))]
)
_BOOK = f"""WITH fresh AS (
    INSERT INTO gateway_ledger (installation, id, {_COLUMNS}) SELECT $1, * FROM unnest({_ARRAYS})
    ON CONFLICT DO NOTHING RETURNING {_COLUMNS}
), added AS (
    INSERT INTO gateway_spend (installation, {_COLUMNS})
    SELECT $1, day, consumer, route, {_SUMS} FROM fresh GROUP BY day, consumer, route ORDER BY day, consumer, route
    ON CONFLICT (installation, day, consumer, route)
    DO UPDATE SET {", ".join(f"{name} = gateway_spend.{name} + excluded.{name}" for name in COUNTERS)}
) SELECT count(*) FROM fresh"""
_READ = f"SELECT {_COLUMNS} FROM gateway_spend WHERE installation = $1 AND day >= $2 ORDER BY day, consumer, route"
_OF_ROWS = f"""SELECT day, consumer, route, {_SUMS} FROM gateway_ledger WHERE installation = $1 AND day >= $2
    GROUP BY day, consumer, route ORDER BY day, consumer, route"""
# Call ids contain none of these characters.
_CORRECTION = "sum:"
_RECENT = f"""SELECT id, {_COLUMNS} FROM gateway_ledger WHERE installation = $1
    AND added > now() - make_interval(secs => $2) AND id NOT LIKE '{_CORRECTION}%'"""
_SWEEP = """DELETE FROM gateway_ledger WHERE ctid = ANY(ARRAY(SELECT ctid FROM gateway_ledger
    WHERE installation = $1 AND added < now() - make_interval(secs => $2) LIMIT $3))"""


class ArchiveError(Exception):
    """Postgres is unreachable, or refuses: the operation failed, or its answer was lost."""


class Difference(NamedTuple):
    """A sum that differs from its rows."""

    sum: Line
    of_rows: Charge


class SharedArchive:
    """One connection, for one task: `async with SharedArchive(server, "default") as archive`. Raises ArchiveError."""

    def __init__(self, server: PostgresServer, installation: str) -> None:
        self._server = server
        self._installation = installation
        self._open: asyncpg.Connection[Any] | None = None

    async def __aenter__(self) -> SharedArchive:
        with _archive_errors():
            self._open = await _connect(self._server)
        try:
            await self._migrate()
        except BaseException:
            self.abort()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        self.abort()

    def abort(self) -> None:
        """Closes without sending anything; the server rolls back what was not committed."""
        if self._open is not None:
            self._open.terminate()
            self._open = None

    async def book(self, rows: Iterable[Booking]) -> int:
        """Adds the rows that are new, in one transaction. Returns how many that were."""
        # In the same order everywhere, so that two gateways with the same rows cannot deadlock.
        ordered = sorted({each.id: each for each in rows}.values())
        if not ordered:
            return 0
        columns: list[list[Any]] = [[each.id for each in ordered], [_date(each.line.day) for each in ordered]]
        columns += [[_text(each.line.consumer) for each in ordered], [_text(each.line.route) for each in ordered]]
        columns += [list(numbers) for numbers in zip(*(each.line.counts for each in ordered), strict=True)]
        async with self._transaction() as connection:
            await self._lock(connection, "_shared")
            return int(await connection.fetchval(_BOOK, self._installation, *columns))

    async def lines(self, first_day: str) -> list[Line]:
        """Lines of all gateways since `first_day` (2026-11-01), by day, consumer and route."""
        return await self._lines(_READ, first_day)

    async def differences(self, first_day: str) -> list[Difference]:
        """Sums since `first_day` that differ from their rows; rows older than `rows_kept_s` have been deleted."""
        async with self._transaction("repeatable_read"):
            sums = {each[:3]: each for each in await self._lines(_READ, first_day)}
            of_rows = {each[:3]: each for each in await self._lines(_OF_ROWS, first_day)}
        nothing = Charge()
        found = []
        for key in sorted({**sums, **of_rows}):
            one, other = sums.get(key, Line(*key, nothing)), of_rows.get(key, Line(*key, nothing))
            if one.counts != other.counts:
                found.append(Difference(one, other.counts))
        return found

    async def recent(self, seconds: float) -> list[Booking]:
        """Rows of calls that were added within this time."""
        with _archive_errors():
            rows = await self._connection.fetch(_RECENT, self._installation, seconds)
        return [booking(id_, day_of(day.isoformat()), where, who, counts) for id_, day, who, where, *counts in rows]

    async def correct(self, by: Sequence[Line]) -> None:
        """Adds to sums what no call's row contains: rows that were lost, and the time before this archive."""
        rows = [booking(f"{_CORRECTION}{uuid4().hex}", each.day, each.route, each.consumer, each.counts) for each in by]
        for at in range(0, len(rows), _CORRECTED_AT_ONCE):
            await self.book(rows[at : at + _CORRECTED_AT_ONCE])

    async def is_there(self) -> None:
        """Raises ArchiveError if it is not reachable."""
        with _archive_errors():
            await self._connection.fetchval("SELECT 1")

    async def is_empty(self) -> bool:
        with _archive_errors():
            query = "SELECT NOT EXISTS (SELECT FROM gateway_spend WHERE installation = $1)"
            return bool(await self._connection.fetchval(query, self._installation))

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """One transaction during which no other gateway of the installation adds anything."""
        async with self._transaction() as connection:
            await self._lock(connection, "")
            yield

    async def sweep(self) -> None:
        """Deletes rows that have been kept long enough; the sums stay."""
        while True:
            async with self._transaction() as connection:
                done = await connection.execute(_SWEEP, self._installation, self._server.rows_kept_s, _SWEPT_AT_ONCE)
            if int(done.rpartition(" ")[2]) < _SWEPT_AT_ONCE:
                return

    async def _lines(self, query: str, first_day: str) -> list[Line]:
        with _archive_errors():
            rows = await self._connection.fetch(query, self._installation, date.fromisoformat(first_day))
        return [Line(day_of(day.isoformat()), who, where, Charge(*counts)) for day, who, where, *counts in rows]

    async def _lock(self, connection: asyncpg.Connection[Any], how: str) -> None:
        await connection.execute(
            f"SELECT pg_advisory_xact_lock{how}($1::int, hashtext($2))", _LOCK_CLASS, self._installation
        )

    async def _migrate(self) -> None:
        """If the tables exist, it only reads, so a user who may not create tables is sufficient then."""
        if await self._version() < len(_MIGRATIONS):
            async with self._transaction() as connection:
                await connection.execute("SELECT pg_advisory_xact_lock($1::int, 0)", _LOCK_CLASS)
                version = await self._version()
                for migration in _MIGRATIONS[version:]:
                    await connection.execute(migration)
                if version == 0:
                    await connection.execute("CREATE TABLE gateway_schema AS SELECT 0 AS version")
                await connection.execute("UPDATE gateway_schema SET version = $1", len(_MIGRATIONS))

    async def _version(self) -> int:
        """Raises ArchiveError for the version of a newer release."""
        with _archive_errors():
            there = await self._connection.fetchval(_IS_MADE)
            version = int(await self._connection.fetchval("SELECT version FROM gateway_schema")) if there else 0
        if version > len(_MIGRATIONS):
            raise ArchiveError(
                f"its tables are of a newer release (version {version}, this one knows {len(_MIGRATIONS)})"
            )
        return version

    @property
    def _connection(self) -> asyncpg.Connection[Any]:
        if self._open is None:
            raise ArchiveError("the connection was lost")
        return self._open

    @asynccontextmanager
    async def _transaction(self, isolation: Any = None) -> AsyncIterator[asyncpg.Connection[Any]]:
        """Nested calls join the outer transaction."""
        connection = self._connection
        with _archive_errors():
            if connection.is_in_transaction():
                yield connection
                return
            transaction = connection.transaction(isolation=isolation)
            try:
                await transaction.start()
                await connection.execute(_IN_TRANSACTION)
                yield connection
                await transaction.commit()
            except BaseException:  # a server that hangs would not answer a rollback either
                self.abort()
                raise


def is_installed() -> bool:
    """Whether the driver is installed."""
    try:
        import asyncpg  # noqa: F401
    except ImportError:
        return False
    return True


async def _connect(server: PostgresServer) -> asyncpg.Connection[Any]:
    import asyncpg

    tls: ssl.SSLContext | bool = False
    if server.tls:
        tls = await asyncio.to_thread(ssl.create_default_context, cadata=None if server.ca is None else server.ca.pem)
    return await asyncpg.connect(
        host=server.host,
        port=server.port,
        user=server.username or None,
        password=None if server.password is None else server.password.reveal(),
        database=server.database,
        ssl=tls,
        timeout=_CONNECT_S,
        command_timeout=_ANSWER_S,
        statement_cache_size=0,  # a connection pooler may send each transaction to a different server process
        server_settings={"application_name": "sidecar"},
    )


@contextmanager
def _archive_errors() -> Iterator[None]:
    """Converts whatever the driver raises to ArchiveError."""
    import asyncpg

    try:
        yield
    except TimeoutError:
        raise ArchiveError("it did not answer in time") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        raise ArchiveError(str(error) or type(error).__name__) from None


def _date(day: int) -> date:
    return date.fromisoformat(date_of(day))


def _text(name: str) -> str:
    """Removes what a `text` column cannot store."""
    return name.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def more(one: Sequence[Line], other: Sequence[Line]) -> list[Line]:
    """What `one` has in excess of `other`: the difference of each line with more calls."""
    known = {each[:3]: each.counts for each in other}
    found = []
    for line in one:
        counts = known.get(line[:3], Charge())
        if line.counts.calls > counts.calls:
            found.append(Line(*line[:3], Charge(*(a - b for a, b in zip(line.counts, counts, strict=True)))))
    return found
