"""The spend of all gateways from the Postgres archive in the config, and whether sums, rows and the store's
counters agree."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sidecar.cli.failure import Failure
from sidecar.cli.offline_config import NOT_SET, loaded

if TYPE_CHECKING:
    from sidecar.domain.secret import Secret
    from sidecar.domain.snapshot import PostgresServer, SharedStore
    from sidecar.spend.ledger import Line
    from sidecar.store.check import Sum

_Found = TypeVar("_Found")
# A call that has just ended may not have reached the archive yet.
_LOOKS = 5
_LOOK_AGAIN_S = 1.0


def archived_lines(config_path: Path, first_day: str) -> list[Line]:
    """The spend of all gateways. Raises Failure."""
    store, server = _archive_of(config_path)

    async def read() -> list[Line]:
        from sidecar.spend.shared_archive import SharedArchive

        async with SharedArchive(server, store.installation) as archive:
            return await archive.lines(first_day)

    return _run(read())


def check_archive(config_path: Path, first_day: str) -> list[str]:
    """Returns a sentence for each sum that differs from its rows, and for each counter of this day or month that
    differs from the sums. Raises Failure."""
    store, server = _archive_of(config_path)
    return _run(_check(store, server, first_day))


async def _check(store: SharedStore, server: PostgresServer, first_day: str) -> list[str]:
    from sidecar.spend.calendar import date_of, first_of_month, today_at
    from sidecar.spend.shared_archive import SharedArchive
    from sidecar.store.check import counters

    async with SharedArchive(server, store.installation) as archive:
        rows_begin = datetime.now(UTC).date() - timedelta(days=int(server.rows_kept_s // 86_400) - 1)
        of_rows = max(first_day, rows_begin.isoformat())
        found = [
            f"{date_of(each.sum.day)}, {each.sum.consumer}, {each.sum.route}: the sum has {each.sum.counts.calls:,} calls and "
            f"{_dollars(each.sum.counts.micro_dollars)}, its rows {each.of_rows.calls:,} and "
            f"{_dollars(each.of_rows.micro_dollars)}."
            for each in await archive.differences(of_rows)
        ]
        off: list[Sum] = []
        for look in range(_LOOKS):
            if look:
                await asyncio.sleep(_LOOK_AGAIN_S)
            today = today_at(time.time())
            lines = await archive.lines(first_of_month(today))
            off = [each for each in await counters(store, lines, today) if each.counted != each.in_ledger]
            if not off:
                break
    return found + [
        f"The {each.per}'s counter of {each.scope} in the store has {_dollars(each.counted)}, the archive "
        f"{_dollars(each.in_ledger)}."
        for each in off
    ]


def _archive_of(config_path: Path) -> tuple[SharedStore, PostgresServer]:
    from sidecar.spend.shared_archive import MISSING, is_installed

    store = loaded(config_path, None).store
    if store is None or store.archive is None:
        raise Failure(
            f"{config_path} names no `store.archive`. Leave out --config-path to read this gateway's own record."
        )
    for key, secret in (("redis", store.redis.password), ("archive", store.archive.password)):
        _is_set(secret, f"store.{key}.password")
    if not is_installed():
        raise Failure(MISSING)
    return store, store.archive


def _is_set(secret: Secret | None, key: str) -> None:
    if secret is not None and secret.reveal() == NOT_SET:
        raise Failure(f"The variable of `{key}` is not set here.")


def _run(work: Coroutine[Any, Any, _Found]) -> _Found:
    from sidecar.spend.shared_archive import ArchiveError
    from sidecar.store.line import StoreError

    try:
        return asyncio.run(work)
    except ArchiveError as error:
        raise Failure(f"The archive in Postgres cannot be read: {error}.") from None
    except StoreError as error:
        raise Failure(f"The store cannot be reached: {error}.") from None


def _dollars(micro: int) -> str:
    return f"${micro / 1_000_000:,.6f}"
