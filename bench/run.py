"""`python -m bench.run`: what the gateway adds to a call, compared with the same mock upstream without it.

Starts everything on loopback, or measures a running stack (`--state-dir D --pid P`) whose route leads to `python -m
bench.upstream`. Latency is the client's; CPU is that of the gateway's own processes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.load import Plan
from bench.stack import REPOSITORY, ROUTE, Stack, Usage, gateway, stack_of, upstream, usages

IN_FLIGHT = 32
CASE_DEADLINE_S = 180.0  # a case that takes longer is broken: the run ends


@dataclass(frozen=True, slots=True)
class Measured:
    """One case. Milliseconds for latencies, microseconds of CPU per call, by process and in total."""

    name: str
    path: str  # "direct", "rest" or "grpc"
    calls: int
    errors: dict[str, int]
    per_s: float
    p50_ms: float
    p99_ms: float
    first_p50_ms: float
    cpu_us: float = 0.0
    cpu_us_by_process: dict[str, float] = field(default_factory=dict)
    rss_mb_by_process: dict[str, float] = field(default_factory=dict)


def percentile(values: list[float], percent: int) -> float:
    """Milliseconds; NaN without values."""
    if len(values) < 2:
        return values[0] * 1000 if values else float("nan")
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] * 1000


def measure(name: str, path: str, plan: Plan, stack_pid: int | None) -> Measured:
    """Runs one plan in a separate process. Raises RuntimeError if the generator fails."""
    command = [sys.executable, "-m", "bench.load", json.dumps(asdict(plan))]
    env = {**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "0"}
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        if client.stdout.readline() != "ready\n":
            raise RuntimeError(f"{name}: the load generator did not get ready")
        before = usages(stack_pid) if stack_pid else {}
        try:
            output, _ = client.communicate("\n", timeout=CASE_DEADLINE_S)
        except subprocess.TimeoutExpired:
            client.kill()
            raise RuntimeError(f"{name}: not done within {CASE_DEADLINE_S:.0f} s") from None
        after = usages(stack_pid) if stack_pid else {}
    result = json.loads(output)
    done = max(1, len(result["total_s"]))
    cpu = cpu_by_process(before, after, done)
    return Measured(
        name=name,
        path=path,
        calls=len(result["total_s"]) + sum(result["errors"].values()),
        errors=result["errors"],
        per_s=done / result["elapsed_s"],
        p50_ms=percentile(result["total_s"], 50),
        p99_ms=percentile(result["total_s"], 99),
        first_p50_ms=percentile(result["first_s"], 50),
        cpu_us=sum(cpu.values()),
        cpu_us_by_process=cpu,
        rss_mb_by_process=rss_by_process(after),
    )


def cpu_by_process(before: dict[int, Usage], after: dict[int, Usage], calls: int) -> dict[str, float]:
    """Microseconds per call; processes with the same label are added up. The CPU of ended processes is in their
    parent's clock."""
    spent: dict[str, float] = {}
    for clocks, sign in ((after, 1), (before, -1)):
        for usage in clocks.values():
            spent[usage.label] = spent.get(usage.label, 0.0) + sign * usage.cpu_s * 1e6 / calls
    return spent


def rss_by_process(after: dict[int, Usage]) -> dict[str, float]:
    sizes: dict[str, float] = {}
    for usage in after.values():
        sizes[usage.label] = sizes.get(usage.label, 0.0) + usage.rss_bytes / 2**20
    return sizes


def cases(arguments: argparse.Namespace) -> list[tuple[str, bool, int, float]]:
    """Name, streamed, calls, rate (0: closed loop)."""
    rate, stream_rate = arguments.rate, arguments.stream_rate
    return [
        ("chat, closed loop", False, arguments.calls, 0.0),
        (f"chat, open loop {rate:g}/s", False, arguments.calls, rate),
        ("stream, closed loop", True, arguments.stream_calls, 0.0),
        (f"stream, open loop {stream_rate:g}/s", True, arguments.stream_calls, stream_rate),
    ]


def run(arguments: argparse.Namespace, direct_url: str, stack: Stack | None) -> list[Measured]:
    """All cases, each without and with the gateway, one after another."""
    rows: list[Measured] = []
    for name, streamed, calls, rate in cases(arguments):
        shape: dict[str, Any] = {"streamed": streamed, "calls": calls, "in_flight": IN_FLIGHT, "rate_per_s": rate}
        direct = Plan(protocol="rest", target=direct_url, route=ROUTE, **shape)
        rows.append(measure(name, "direct", direct, None))
        if stack is None:
            continue
        rest = Plan("rest", stack.url, stack.route, api_key=stack.api_key, ca_file=stack.ca_file, **shape)
        rows.append(measure(name, "rest", rest, stack.pid))
        local = Plan("grpc", stack.grpc_target, stack.route, **shape)
        rows.append(measure(name, "grpc", local, stack.pid))
    return rows


def table(rows: list[Measured]) -> str:
    """The compact table: the direct row as measured, the others as the difference to it."""
    head = (
        f"{'case':24} {'path':7} {'calls/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'first ms':>9} {'CPU µs':>7} {'errors':>6}"
    )
    lines = [head, "-" * len(head)]
    direct = {row.name: row for row in rows if row.path == "direct"}
    for row in rows:
        base = direct[row.name]
        times = (row.p50_ms, row.p99_ms, row.first_p50_ms)
        if row is base:
            shown = [f"{value:8.2f}" for value in times]
        else:
            added = (row.p50_ms - base.p50_ms, row.p99_ms - base.p99_ms, row.first_p50_ms - base.first_p50_ms)
            shown = [f"{value:+8.2f}" for value in added]
        cpu = f"{row.cpu_us:7.0f}" if row.cpu_us_by_process else f"{'-':>7}"
        failed = sum(row.errors.values())
        lines.append(f"{row.name:24} {row.path:7} {row.per_s:8.0f} {' '.join(shown[:2])}  {shown[2]} {cpu} {failed:6d}")
        lines.extend(f"    {count} x {error}" for error, count in row.errors.items())
    for row in rows:
        if row.cpu_us_by_process:
            split = ", ".join(f"{label} {value:.0f}" for label, value in row.cpu_us_by_process.items())
            lines.append(f"CPU µs a call, {row.name}, {row.path}: {split}")
    with_rss = [row for row in rows if row.rss_mb_by_process]
    if with_rss:
        sizes = ", ".join(f"{label} {value:.0f}" for label, value in with_rss[-1].rss_mb_by_process.items())
        lines.append(f"RSS MB at the end (processes of a kind together): {sizes}")
    return "\n".join(lines)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--calls", type=int, default=3000, help="unary calls a case")
    parser.add_argument("--stream-calls", type=int, default=300, help="streamed calls a case")
    parser.add_argument("--rate", type=float, default=200.0, help="unary calls a second in the open loop")
    parser.add_argument("--stream-rate", type=float, default=20.0, help="streams a second in the open loop")
    parser.add_argument("--chunks", type=int, default=50, help="chunks a stream")
    parser.add_argument("--gap-ms", type=float, default=1.0, help="between chunks")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    parser.add_argument("--no-gateway", action="store_true", help="the direct rows only: tries the load generator")
    parser.add_argument("--state-dir", type=Path, help="measure the running stack of this directory")
    parser.add_argument("--pid", type=int, help="its supervisor")
    parser.add_argument("--route", default=ROUTE, help="its route to the mock upstream")
    parser.add_argument("--upstream", help="the base URL of that mock upstream")
    parsed = parser.parse_args(arguments)
    if parsed.state_dir and not (parsed.pid and parsed.upstream):
        parser.error("--state-dir wants --pid and --upstream too")
    return parsed


def main() -> None:
    arguments = parse()
    with ExitStack() as running:
        if arguments.state_dir:
            direct_url = arguments.upstream
            stack: Stack | None = stack_of(arguments.state_dir, arguments.pid, arguments.route)
        else:
            direct_url = running.enter_context(upstream(arguments.chunks, arguments.gap_ms))
            directory = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            stack = None
            if not arguments.no_gateway:
                stack = running.enter_context(gateway(directory, direct_url, arguments.workers))
        rows = run(arguments, direct_url, stack)
    print(table(rows))
    if arguments.json:
        machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "kernel": platform.release()}
        figures = {"machine": machine, "rows": [asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    sys.exit(1 if any(row.errors for row in rows) else 0)


if __name__ == "__main__":
    main()
