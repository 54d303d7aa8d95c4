"""`sidecar usage`: tokens and money by consumer, route and day, from the state directory, whether or not the
gateway runs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sidecar.cli.failure import Failure
from sidecar.cli.option_kinds import StateDirOption
from sidecar.supervisor.start.options import STATE_DIR

if TYPE_CHECKING:
    from sidecar.spend.ledger import Line

_Since = Annotated[
    str | None,
    typer.Option("--since", metavar="DAY", help="First day (UTC), such as 2026-11-01 or 7d. Default: this month."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per consumer, route and day.")]
_Chart = Annotated[bool, typer.Option("--chart", help="Print bars: each day, and each consumer.")]
_Archive = Annotated[
    Path | None,
    typer.Option(
        "--config-path",
        metavar="PATH",
        help="Config file whose `store.archive` is read in place of the state directory.",
    ),
]
_Check = Annotated[
    bool,
    typer.Option(
        "--check",
        help="Add the archive's rows up again, and compare sums and budgets' counters; exit code 1 if any differs.",
    ),
]
_WIDTH_MAX = 400
_DAYS = re.compile(r"([0-9]{1,4})d")


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: sidecar usage --since 7d --chart")(usage)


def usage(
    state_dir: StateDirOption = STATE_DIR,
    since: _Since = None,
    as_json: _Json = False,
    chart: _Chart = False,
    config_path: _Archive = None,
    check: _Check = False,
) -> None:
    """Show calls, tokens and spend.

    There is one row per day, consumer and route. Days begin at midnight UTC. Money is in US dollars. Tokens without a
    known price and tokens that the gateway had to estimate have columns of their own. A running gateway updates these
    numbers once a second. Gateways that share a store have the same numbers, and with --config-path any machine
    reads them from the Postgres that the config names.
    """
    first_day = _first_day(since)
    if check:
        _check(config_path, first_day)
        return
    lines = _read(state_dir, first_day) if config_path is None else _archived(config_path, first_day)
    if as_json:
        for line in lines:
            print(json.dumps(_object(line), ensure_ascii=False))
        return
    if chart and lines:
        from sidecar.cli.spend_chart import print_chart
        from sidecar.spend.calendar import day_of

        today = datetime.now(UTC).date().isoformat()
        print_chart(lines, day_of(first_day) if since else lines[0].day, day_of(today))
        return
    _print_table(lines)


def _archived(config_path: Path, first_day: str) -> list[Line]:
    from sidecar.cli.usage_archive import archived_lines

    return archived_lines(config_path, first_day)


def _check(config_path: Path | None, first_day: str) -> None:
    from sidecar.cli.usage_archive import check_archive

    if config_path is None:
        raise Failure("--check needs --config-path: it reads the archive in Postgres and the store.")
    found = check_archive(config_path, first_day)
    if found:
        raise Failure("\n".join(found))
    print(f"ok: sums, rows and counters agree since {first_day}")


def _first_day(since: str | None) -> str:
    today = datetime.now(UTC).date()
    if since is None:
        return today.replace(day=1).isoformat()
    if found := _DAYS.fullmatch(since):
        return (today - timedelta(days=max(0, int(found[1]) - 1))).isoformat()
    try:
        return datetime.strptime(since, "%Y-%m-%d").replace(tzinfo=UTC).date().isoformat()
    except ValueError:
        raise Failure(
            f"--since {since} is not valid. Write a day such as 2026-11-01, or a number of days such as 7d."
        ) from None


def _read(state_dir: Path, first_day: str) -> list[Line]:
    import sqlite3

    from sidecar.spend.archive import FILE_NAME, read_since

    path = state_dir / FILE_NAME
    if not path.is_file():
        raise Failure(f"{path} does not exist: no gateway has run on this state directory yet.")
    try:
        return read_since(path, first_day)
    except sqlite3.Error as error:
        raise Failure(f"Cannot read {path}: {error}.") from None


def _object(line: Line) -> dict[str, Any]:
    from sidecar.spend.calendar import date_of
    from sidecar.spend.ledger import COUNTERS

    return {
        "day": date_of(line.day),
        "consumer": line.consumer,
        "route": line.route,
        **dict(zip(COUNTERS, line.counts, strict=True)),
    }


def _print_table(lines: Sequence[Line]) -> None:
    from rich.console import Console
    from rich.table import Table

    from sidecar.spend.calendar import date_of
    from sidecar.spend.ledger import Charge

    table = Table(box=None, pad_edge=False)
    for title in ("day", "consumer", "route"):
        table.add_column(title, overflow="fold", no_wrap=title == "day", min_width=10)
    for title in ("calls", "input", "output", "dollars", "unpriced", "estimated"):
        table.add_column(title, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(date_of(line.day), line.consumer, line.route, *_cells(line.counts))
    if len(lines) > 1:
        table.add_section()
        total = Charge(*(sum(counts) for counts in zip(*(line.counts for line in lines), strict=True)))
        table.add_row("all", "", "", *_cells(total))
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDTH_MAX  # files and pipes have no width at which to wrap names
    console.print(table if lines else "No calls.")


def _cells(counts: Any) -> tuple[str, ...]:
    numbers = (counts.calls, counts.input_tokens, counts.output_tokens)
    money = f"{counts.micro_dollars / 1_000_000:,.6f}"
    return (
        *(f"{number:,}" for number in numbers),
        money,
        f"{counts.unpriced_tokens:,}",
        f"{counts.estimated_tokens:,}",
    )
