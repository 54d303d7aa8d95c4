"""The /metrics page: one for all workers, valid whatever happens to them."""

from __future__ import annotations

import http.client
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.supervisor.metrics import MetricsPage, SupervisorMetrics
from sidecar.supervisor.options import Address
from tests.processes import free_port

_WORKER = """
import sys
from sidecar.metrics import Metrics, use_directory
use_directory(sys.argv[1], int(sys.argv[2]))
metrics = Metrics()
metrics.upstream_requests("openai", "ok").inc()
metrics.in_flight("chat").inc()
"""


@pytest.fixture
def metrics(tmp_path: Path) -> SupervisorMetrics:
    return SupervisorMetrics(tmp_path)


@pytest.fixture
def port(metrics: SupervisorMetrics) -> Iterator[int]:
    port = free_port()
    page = MetricsPage(Address("127.0.0.1", port), metrics.registry)
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


def _worker(folder: Path, slot: int) -> None:
    subprocess.run([sys.executable, "-c", _WORKER, str(folder), str(slot)], check=True)


def test_workers_are_added_up_and_a_dead_ones_gauges_go_while_its_counters_stay(
    tmp_path: Path, metrics: SupervisorMetrics, port: int
) -> None:
    for slot in (0, 1):
        _worker(tmp_path, slot)
    counted = 'sidecar_upstream_requests_total{outcome="ok",provider="openai"}'
    status, text = _ask(port, "/metrics")
    assert status == 200
    assert f"{counted} 2.0" in text
    assert 'sidecar_in_flight{route="chat"} 2.0' in text
    metrics.forget_worker(1)
    text = _ask(port, "/metrics")[1]
    assert f"{counted} 2.0" in text
    assert 'sidecar_in_flight{route="chat"} 1.0' in text


def test_only_the_configuration_in_use_has_a_series(metrics: SupervisorMetrics, port: int) -> None:
    metrics.use_config("aaa")
    metrics.use_config("bbb")
    text = _ask(port, "/metrics")[1]
    assert 'sidecar_config_info{hash="bbb"} 1.0' in text
    assert "aaa" not in text


def test_a_file_that_a_killed_worker_left_empty_does_not_spoil_the_page(tmp_path: Path, port: int) -> None:
    _worker(tmp_path, 0)
    (tmp_path / "counter_1.db").touch()
    status, text = _ask(port, "/metrics")
    assert status == 200
    assert 'sidecar_upstream_requests_total{outcome="ok",provider="openai"} 1.0' in text


def test_a_file_that_stays_unreadable_is_a_503_and_not_half_the_truth(tmp_path: Path, port: int) -> None:
    (tmp_path / "counter_1.db").write_bytes((64).to_bytes(4, "little") + b"\xff" * 60)
    assert _ask(port, "/metrics")[0] == 503
    (tmp_path / "counter_1.db").unlink()
    assert _ask(port, "/metrics")[0] == 200


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("POST", "/metrics", 501)])
def test_nothing_else_is_there(port: int, method: str, path: str, status: int) -> None:
    assert _ask(port, path, method)[0] == status
