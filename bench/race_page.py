"""The table of the race, for a terminal and as docs/reference/benchmark.md. The first row is the call without a system."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from bench.race_rows import CALLS_PER_S, STREAMS_PER_S, Row
from bench.systems import REFERENCE

_HEAD = (
    "system",
    "CPU µs a call",
    "to ours",
    "CPU ms a stream",
    "to ours",
    "calls/s a core",
    "p50 ms",
    "p99 ms",
    "first ms",
    "RSS MB",
)
_ERROR_WIDTH = 300  # characters of an error that are shown
_OVER = "†"
QUIET_LOAD = 0.5  # more, and others take the processors from what is measured
_BUSY = " Others used its\nprocessors: trust the ratios of CPU, and no latency."


def _cells(row: Row, direct: Row) -> list[str]:
    def added(value: float, base: float, *, over: bool = False) -> str:
        if row is direct:
            return _number(value, ".2f")
        return _number(value - base, "+.2f") + (_OVER if over else "")

    return [
        row.name,
        _number(row.call_us, ".0f"),
        _number(row.call_ratio, ".2f"),
        _number(row.stream_us / 1000, ".2f"),
        _number(row.stream_ratio, ".2f"),
        _number(row.calls_per_s_of_a_core, ".0f"),
        added(row.p50_ms, direct.p50_ms, over=not row.keeps_calls),
        added(row.p99_ms, direct.p99_ms, over=not row.keeps_calls),
        added(row.first_ms, direct.first_ms, over=not row.keeps_streams),
        _number(row.rss_mb, ".0f"),
    ]


def _number(value: float, form: str) -> str:
    return "–" if math.isnan(value) else format(value, form)


def _notes(rows: Sequence[Row]) -> Iterator[str]:
    """What a reader must know of a row: that it cannot keep the rate, and what failed, by kind."""
    for row in rows:
        missed = [f"{CALLS_PER_S:g} calls/s"] * (not row.keeps_calls)
        missed += [f"{STREAMS_PER_S:g} streams/s"] * (not row.keeps_streams)
        if missed:
            yield f"{_OVER} {row.name} cannot keep {' and '.join(missed)} here: the time is that of a queue that grows."
    for row in rows:
        for error, count in row.errors.items():
            yield f"{row.name}: {count} x {' '.join(error.split())[:_ERROR_WIDTH]}"


def table(rows: Sequence[Row]) -> str:
    """Columns for a terminal; under them what failed, and what is switched on."""
    cells = [list(_HEAD), *(_cells(row, rows[0]) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEAD))]
    lines = [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in cells
    ]
    notes = list(_notes(rows))
    on = [f"{row.name.ljust(widths[0])}  {row.on}" for row in rows]
    return "\n".join(
        [lines[0], "-" * len(lines[0]), *lines[1:], *([""] if notes else []), *notes, "", "Switched on:", *on]
    )


_PAGE = """\
# Benchmark

What a call costs in this gateway and in others, measured side by side. Run it on your machine, without root:

    make lint                       # once: the development environment
    .venv/bin/python -m bench.race  # about ten minutes; the first run also installs 1.4 GB under .cache/race

Written by `python -m bench.race --page` on {date}: {processors}, Linux {kernel}, Python {python}, Sidecar {sidecar},
Nginx {nginx}, Envoy {envoy}. Medians of {rounds} rounds; the machine's load before it began was {load}.{busy}

| {head} | switched on |
|---|{marks}---|
{lines}
{notes}
- *CPU* is user and system time of all processes of a system, divided by the calls. *A stream* has 50 chunks, 1 ms apart.
  *To ours* is the figure divided by that of `{reference}`: above 1 a system costs more.
- *calls/s a core* is what one processor could serve if nothing else used it: 1 / CPU.
- *p50* and *p99* are at {rate:g} calls a second; *first* is the median time until the first chunk at {stream_rate:g} streams a
  second. The first row is the call without a gateway; the others show what they add to it.
- *RSS* is the sum over a system's processes after the calls; memory that processes share counts in each.
- *–* was not measured, or more than 1 % of those calls failed.

## What is compared, and what is not

Each system runs alone, with one worker and one route to the same mock provider on the same machine, started as
its own documentation says, and gets the same load: a chat with an answer of 300 bytes, 32 in flight; streams, 32
in flight; both at a fixed rate. Every answer is read whole, and one without its end is an error.

They do not do the same work: the last column names what is switched on. Ours ends TLS, checks a key, writes a log
line and counts in every row behind a front; *governed* adds a consumer, two limits and a budget that each call
asks. MLflow and Portkey check no key, LiteLLM and ferrogw one master key, and none of the four ends TLS. ferrogw's
own limit of 20 calls a second is switched off; Portkey runs on Node 22 with the HTTP library of its own lock,
because its streams fail on newer ones. ferrogw, Nginx and Envoy are compiled, MLflow, LiteLLM and our core are
Python, Portkey is JavaScript. Nginx and Envoy alone are floors: proxies that end TLS and know nothing of models.

Client, provider and system share the machine's processors. Compare within the table, not with figures from
elsewhere, nor with what a gateway does on more workers or across a network. What a system does when a provider
fails, how exact its limits are, and which requests it can carry are not compared here.
"""


def page(rows: Sequence[Row], machine: dict[str, str], rounds: int) -> str:
    """docs/reference/benchmark.md."""
    lines = "\n".join(f"| {' | '.join(_cells(row, rows[0]))} | {row.on} |" for row in rows)
    notes = "".join(f"\n{note}\n" for note in _notes(rows))
    busy = _BUSY if float(machine["load"]) > QUIET_LOAD else ""
    marks = "---:|" * (len(_HEAD) - 1)
    shape = {
        "head": " | ".join(_HEAD),
        "marks": marks,
        "lines": lines,
        "notes": notes,
        "busy": busy,
        "reference": REFERENCE.name,
    }
    return _PAGE.format(**machine, **shape, rounds=rounds, rate=CALLS_PER_S, stream_rate=STREAMS_PER_S)
