"""The processes of the benchmark: the mock upstream, the gateway under test, and their CPU clocks."""

from __future__ import annotations

import os
import shlex
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.processes import free_ports

REPOSITORY = Path(__file__).resolve().parent.parent
ROUTE = "bench"
START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 30.0

CONFIG = """\
routes:
  - name: {route}
    route_type: llm/v1/chat
    model:
      provider: openai-compatible
      name: bench-model
      config:
        base_url: {base_url}
        api_key: bench-key
"""
# Never reached, so only the cost of checking is measured.
GOVERNED = """\
    price: {input: 0.15, output: 0.60}
    limits: [{requests: 1000000000, per: minute}, {tokens: 1000000000, per: minute}]
    budgets: [{dollars: 1000000, per: month}]
consumers:
  - {name: bench, users: [sidecar], allow: [bench]}
  - {name: here, local: true}
"""


@dataclass(frozen=True, slots=True)
class Stack:
    """A running gateway: how to reach it, and the process whose descendants belong to it."""

    url: str  # ends in /v1
    api_key: str
    ca_file: str
    grpc_target: str
    pid: int
    route: str = ROUTE


def read_env(file: Path) -> dict[str, str]:
    """The NAME=value lines of a file for `source`."""
    words = shlex.split(file.read_text(), comments=True)
    return dict(word.partition("=")[::2] for word in words if "=" in word)


def stack_of(state: Path, pid: int, route: str = ROUTE) -> Stack:
    """The gateway of this state directory."""
    env = read_env(state / "env")
    url = env["SIDECAR_URL"].rstrip("/")
    target = env["SIDECAR_GRPC_LOCAL"].removeprefix("http://")
    return Stack(
        url=url if url.endswith("/v1") else f"{url}/v1",
        api_key=env["SIDECAR_API_KEY"],
        ca_file=env["SIDECAR_CA"],
        grpc_target=target,
        pid=pid,
        route=route,
    )


def _stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def upstream(chunks: int, gap_ms: float) -> Iterator[str]:
    """Runs the mock provider; yields its base URL."""
    command = [sys.executable, "-m", "bench.upstream", f"--chunks={chunks}", f"--gap-ms={gap_ms}"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
        finally:
            _stop(process)


@contextmanager
def gateway(
    directory: Path, base_url: str, workers: int, front: str = "nginx", governed: bool = False
) -> Iterator[Stack]:
    """Runs the whole stack with one route to the mock, started as a user would. `governed`: with limits and a
    budget. Raises RuntimeError with its output if it does not start."""
    config, state, log = directory / "config" / "config.yaml", directory / "state", directory / "up.log"
    config.parent.mkdir()  # the gateway watches the folder of its configuration, where a log would wake it
    config.write_text(CONFIG.format(route=ROUTE, base_url=base_url) + (GOVERNED if governed else ""))
    port, grpc_port, metrics_port = free_ports(3)
    ports = [f"--port={port}", f"--grpc=127.0.0.1:{grpc_port}", f"--metrics=127.0.0.1:{metrics_port}"]
    command = [sys.executable, "-m", "sidecar", "up", "--config-path", str(config), "--state-dir", str(state), *ports]
    command += [f"--workers={workers}", f"--front={front}"]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}  # a checkout may be measured without being installed
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=env, stdout=output, stderr=subprocess.STDOUT, text=True)
    try:
        _wait_for_env(state / "env", process, log)
        yield stack_of(state, process.pid)
    finally:
        if process.poll() is None:
            _stop(process)


def _wait_for_env(file: Path, process: subprocess.Popen[str], log: Path) -> None:
    """`sidecar up` writes env before it serves, so probe its health path."""
    end_s = time.monotonic() + START_DEADLINE_S
    while not (file.exists() and _is_healthy(file)):
        if process.poll() is not None or time.monotonic() > end_s:
            raise RuntimeError(f"the gateway did not start (exit code {process.poll()}):\n{log.read_text()}")
        time.sleep(0.1)


def _is_healthy(file: Path) -> bool:
    """Whether a chat is answered through the front."""
    try:
        stack = stack_of(file.parent, 0)
        context = ssl.create_default_context(cafile=stack.ca_file)
        question = {"model": ROUTE, "messages": [{"role": "user", "content": "ready?"}]}
        headers = {"authorization": f"Bearer {stack.api_key}"}
        answer = httpx.post(f"{stack.url}/chat/completions", json=question, headers=headers, verify=context, timeout=5)
    except (KeyError, OSError, httpx.HTTPError):
        return False
    return answer.status_code == 200


@dataclass(frozen=True, slots=True)
class Usage:
    """One process of the stack: CPU seconds including ended children, resident bytes."""

    label: str
    cpu_s: float
    rss_bytes: int


def usages(root_pid: int) -> dict[int, Usage]:
    """Every process of the stack by pid: the root, all descendants, and any process left in the session that it
    leads."""
    found: dict[int, Usage] = {}
    for pid in _family(root_pid):
        try:
            fields = _stat(pid)
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            own_s = time.clock_gettime(_cpu_clock(pid))
        except OSError:
            continue
        # proc(5) fields 16 and 17: user and system ticks of waited-for children; field 24: resident pages.
        ended_s = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
        label = "supervisor" if pid == root_pid else _label(command)
        found[pid] = Usage(label, own_s + ended_s, int(fields[21]) * os.sysconf("SC_PAGE_SIZE"))
    return found


def is_alive(pid: int) -> bool:
    """Whether the process runs: neither gone nor a zombie."""
    try:
        return _stat(pid)[0] not in "ZX"
    except OSError:
        return False


def _cpu_clock(pid: int) -> int:
    """The CPU clock of a process: user and system time of all threads, in nanoseconds (clock_getcpuclockid(3) on
    Linux)."""
    return (~pid << 3) | 2


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the name, which may contain blanks: state, parent, process group,
    session, ..."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _family(root_pid: int) -> list[int]:
    started_by: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = _stat(int(entry.name))
            except OSError:
                continue
            started_by.setdefault(int(fields[1]), []).append(int(entry.name))
            if int(fields[3]) == root_pid:  # its parent may be gone
                started_by.setdefault(root_pid, []).append(int(entry.name))
    family = [root_pid]
    for pid in family:
        family.extend(each for each in dict.fromkeys(started_by.get(pid, ())) if each not in family)
    return family


def _label(command: str) -> str:
    """The role of a process, from its command line; Nginx renames its own."""
    if "nginx" in command:
        return "nginx worker" if "worker process" in command else "nginx master"
    words = {
        "envoy.yaml": "envoy",
        "resource_tracker": "resource tracker",
        "sidecar.local": "local model",
        "sidecar": "core worker",
    }
    return next((label for word, label in words.items() if word in command), "core worker")
