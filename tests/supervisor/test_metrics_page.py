"""The /metrics page: one for all workers, valid whatever happens to them."""

from __future__ import annotations

import fcntl
import http.client
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sidecar.domain.snapshot import Snapshot
from sidecar.supervisor.metrics.page import MetricsPage, SupervisorMetrics
from sidecar.supervisor.start.addresses import Address
from tests.processes import free_port

# linux/fcntl.h
_F_ADD_SEALS, _F_SEAL_GROW = 1033, 4
_WORKER = """
import sys
from sidecar.telemetry.metrics import Metrics, memory_of
metrics = Metrics(memory_of(int(sys.argv[1])))
metrics.upstream_requests("openai", "ok").inc()
metrics.in_flight("chat").inc()
metrics.duration("chat", "chat").observe(0.3)
for number in range(int(sys.argv[2])):
    metrics.requests(f"route-{number}", "chat", "local", "ok").inc(number)
"""


@pytest.fixture
def metrics() -> Iterator[SupervisorMetrics]:
    made = SupervisorMetrics()
    yield made
    made.close()


@pytest.fixture
def port(metrics: SupervisorMetrics) -> Iterator[int]:
    port = free_port()
    page = MetricsPage.open(Address("127.0.0.1", port), metrics.registry, lambda: True)
    yield port
    page.close()


def _ask(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def _worker(fd: int | None, series: int = 0) -> str:
    """A worker's life: it counts a call, and `series` more. What it logged."""
    assert fd is not None
    command = [sys.executable, "-c", _WORKER, str(fd), str(series)]
    return subprocess.run(command, check=True, pass_fds=[fd], capture_output=True, text=True).stderr


def test_workers_are_added_up_and_a_dead_ones_gauges_go_while_its_counters_stay(
    metrics: SupervisorMetrics, port: int
) -> None:
    for slot in (0, 1):
        _worker(metrics.memory_of(slot))
    counted = 'sidecar_upstream_requests_total{outcome="ok",provider="openai"}'
    status, text = _ask(port, "/metrics")
    assert status == 200
    assert f"{counted} 2.0" in text
    assert 'sidecar_in_flight{route="chat"} 2.0' in text
    assert 'sidecar_request_duration_seconds_bucket{le="0.25",operation="chat",route="chat"} 0.0' in text
    assert 'sidecar_request_duration_seconds_bucket{le="0.5",operation="chat",route="chat"} 2.0' in text
    assert 'sidecar_request_duration_seconds_bucket{le="+Inf",operation="chat",route="chat"} 2.0' in text
    assert 'sidecar_request_duration_seconds_count{operation="chat",route="chat"} 2.0' in text
    assert "sidecar_metrics_complete 1.0" in text
    metrics.forget_worker(1)
    text = _ask(port, "/metrics")[1]
    assert f"{counted} 2.0" in text
    assert 'sidecar_in_flight{route="chat"} 1.0' in text
    _worker(metrics.memory_of(1))
    text = _ask(port, "/metrics")[1]
    assert f"{counted} 3.0" in text, "the next worker of the slot goes on counting"
    assert 'sidecar_in_flight{route="chat"} 2.0' in text


def test_memory_grows_with_the_series_and_none_is_lost(metrics: SupervisorMetrics, port: int) -> None:
    fd = metrics.memory_of(0)
    assert fd is not None
    before = os.fstat(fd).st_size
    _worker(fd, 5_000)
    _worker(fd, 5_000)
    assert os.fstat(fd).st_size > 2 * before
    text = _ask(port, "/metrics")[1]
    found = re.findall(r'^sidecar_requests_total\{.*route="route-(\d+)"} (\S+)$', text, re.MULTILINE)
    assert {int(name): float(value) for name, value in found} == {number: 2.0 * number for number in range(5_000)}
    assert os.fstat(fd).st_blocks * 512 >= os.fstat(fd).st_size, "space is taken before it is used"


def test_a_worker_counts_on_what_it_can_where_memory_does_not_grow_and_the_page_and_the_log_say_so(
    metrics: SupervisorMetrics, port: int
) -> None:
    fd = metrics.memory_of(0)
    assert fd is not None
    fcntl.fcntl(fd, _F_ADD_SEALS, _F_SEAL_GROW)  # the kernel refuses, as where memory is short
    output = _worker(fd, 5_000)
    assert output.count("Out of memory for metrics: ") == 1
    text = _ask(port, "/metrics")[1]
    assert 'sidecar_upstream_requests_total{outcome="ok",provider="openai"} 1.0' in text
    assert "sidecar_metrics_complete 0.0" in text
    assert 0 < text.count('route="route-') < 5_000


def test_only_the_configuration_in_use_has_a_series(metrics: SupervisorMetrics, port: int) -> None:
    metrics.use_config(Snapshot({}, "aaa"))
    metrics.use_config(Snapshot({}, "bbb"))
    text = _ask(port, "/metrics")[1]
    assert 'sidecar_config_info{hash="bbb"} 1.0' in text
    assert "aaa" not in text


def test_memory_that_stays_unreadable_is_a_503_and_not_half_the_truth(metrics: SupervisorMetrics, port: int) -> None:
    fd = metrics.memory_of(0)
    assert fd is not None
    good = os.pread(fd, 64, 0)
    os.pwrite(fd, (1_000).to_bytes(8, "little"), 8)  # words in use, none of which was written
    assert _ask(port, "/metrics")[0] == 503
    os.pwrite(fd, good, 0)
    assert _ask(port, "/metrics")[0] == 200


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("POST", "/metrics", 501)])
def test_nothing_else_is_there(port: int, method: str, path: str, status: int) -> None:
    assert _ask(port, path, method)[0] == status
