"""Computes the rows of the race's table from the measured rounds."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.run import Measured
from bench.target import System

# The fixed rates.
CALLS_PER_S = 200.0
STREAMS_PER_S = 20.0
# With more failures, a figure would describe failing calls.
FAILED_AT_MOST = 0.01
# If a system completes less than this share of the rate, its queue grows and dominates its latency.
KEPT = 0.95


@dataclass(frozen=True, slots=True)
class Round:
    """One run of a system: closed loops of calls and of streams, and both at a fixed rate."""

    calls: Measured
    streams: Measured
    paced_calls: Measured
    paced_streams: Measured


@dataclass(slots=True)
class Outcome:
    """All rounds of a system, and why missing ones failed."""

    rounds: list[Round] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Row:
    """One system: medians over its rounds; NaN if nothing was measured, or too much failed.

    Latencies are the client's; `call_ratio` and `stream_ratio` are CPU relative to the reference.
    """

    name: str
    on: str
    call_us: float
    stream_us: float
    call_ratio: float
    stream_ratio: float
    calls_per_s_of_a_core: float
    p50_ms: float
    p99_ms: float
    first_ms: float
    rss_mb: float
    keeps_calls: bool
    keeps_streams: bool
    errors: dict[str, int]


def rows_of(systems: Sequence[System], outcomes: dict[str, Outcome], reference: str) -> list[Row]:
    """One row per system. `reference`: the system whose CPU the others are compared with; it may be missing."""
    base = outcomes.get(reference, Outcome()).rounds
    base_call_us, base_stream_us = _middle(base, _call_us), _middle(base, _stream_us)
    rows = []
    for system in systems:
        rounds = outcomes[system.name].rounds
        call_us, stream_us = _middle(rounds, _call_us), _middle(rounds, _stream_us)
        row = Row(
            name=system.name,
            on=system.on,
            call_us=call_us,
            stream_us=stream_us,
            call_ratio=_ratio(call_us, base_call_us),
            stream_ratio=_ratio(stream_us, base_stream_us),
            calls_per_s_of_a_core=_ratio(1e6, call_us),
            p50_ms=_middle(rounds, lambda r: _sound(r.paced_calls, r.paced_calls.p50_ms)),
            p99_ms=_middle(rounds, lambda r: _sound(r.paced_calls, r.paced_calls.p99_ms)),
            first_ms=_middle(rounds, lambda r: _sound(r.paced_streams, r.paced_streams.first_p50_ms)),
            rss_mb=_middle(rounds, lambda r: sum(r.calls.rss_mb_by_process.values()) or math.nan),
            keeps_calls=_keeps([one.paced_calls for one in rounds], CALLS_PER_S),
            keeps_streams=_keeps([one.paced_streams for one in rounds], STREAMS_PER_S),
            errors=_errors(outcomes[system.name]),
        )
        rows.append(row)
    return rows


def _call_us(one: Round) -> float:
    return _sound(one.calls, one.calls.cpu_us or math.nan)


def _stream_us(one: Round) -> float:
    return _sound(one.streams, one.streams.cpu_us or math.nan)


def _sound(measured: Measured, value: float) -> float:
    failed = sum(measured.errors.values())
    return value if failed <= FAILED_AT_MOST * measured.calls else math.nan


def _middle(rounds: Sequence[Round], value: Callable[[Round], float]) -> float:
    values = [number for one in rounds if not math.isnan(number := value(one))]
    return statistics.median(values) if values else math.nan


def _keeps(rounds: Sequence[Measured], rate_per_s: float) -> bool:
    """Whether calls were completed as fast as they arrived in most rounds: the last one about a usual latency after
    it was due."""
    kept = []
    for one in rounds:
        succeeded = one.calls - sum(one.errors.values())
        if succeeded > 0:
            elapsed_s = succeeded / one.per_s
            kept.append((elapsed_s - one.p50_ms / 1000) * KEPT * rate_per_s <= one.calls)
    return not kept or statistics.median(kept) > 0


def _ratio(above: float, below: float) -> float:
    return above / below if below else math.nan


def _errors(outcome: Outcome) -> dict[str, int]:
    found: Counter[str] = Counter(outcome.failures)
    for one in outcome.rounds:
        calls = (("call", one.calls), ("call", one.paced_calls))
        streams = (("stream", one.streams), ("stream", one.paced_streams))
        for what, measured in calls + streams:
            for error, count in measured.errors.items():
                found[f"{what}: {error}"] += count
    return dict(found.most_common())
