"""The supervisor's own metrics, and the loopback page that shows them together with those of all workers."""

from __future__ import annotations

import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.supervisor.options import Address

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

_log = logging.getLogger("sidecar")
# A worker that is just making its metric files can be read half-way; the next reading is whole.
_READS_MAX = 5
_READ_PAUSE_S = 0.02
_READ_TIMEOUT_S = 5.0  # a scraper that says nothing must not hold a thread


class SupervisorMetrics:
    """What only the supervisor knows. In this process's memory; workers' metrics come out of `workers_dir`'s files."""

    def __init__(self, workers_dir: Path) -> None:
        # In the environment it would turn the supervisor's own metrics into files too.
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
        from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics

        disable_created_metrics()  # multiprocess mode has none either
        self._workers_dir = workers_dir
        self.registry = CollectorRegistry()
        self.registry.register(_WorkerFiles(workers_dir))
        # 1
        self.worker_restarts = Counter(
            "sidecar_worker_restarts_total", "Workers that died and were started again.", registry=self.registry
        )
        # 1
        self.worker_hangs = Counter(
            "sidecar_worker_hangs_total", "Workers that hung and were replaced.", registry=self.registry
        )
        # N workers
        self._loop_held = Counter(
            "sidecar_worker_loop_held_seconds_total",
            "Time in which a worker's event loop was held for more than a second, and its calls with it.",
            ("worker",),
            registry=self.registry,
        )
        # 2: success, failure
        self.config_reloads = Counter(
            "sidecar_config_reloads_total", "Configurations read after the start.", ("result",), registry=self.registry
        )
        for result in ("success", "failure"):
            self.config_reloads.labels(result)  # alerts want a 0 before the first failure
        # 1
        self._taken = Gauge(
            "sidecar_config_last_reload_successful",
            "1 while the configuration in use is the one on disk, 0 while that one cannot be used.",
            registry=self.registry,
        )
        self._taken.set(1)
        # 1: the label changes, the old one goes
        self._config_info = Gauge("sidecar_config_info", "The configuration in use.", ("hash",), registry=self.registry)
        # 1
        self.workers_up = Gauge("sidecar_workers_up", "Workers that serve.", registry=self.registry)

    def reloaded(self, *, taken: bool) -> None:
        """A changed configuration was read, and is used or not."""
        self.config_reloads.labels("success" if taken else "failure").inc()
        self._taken.set(taken)

    def loop_held(self, position: int, held_s: float) -> None:
        """0 makes the series: alerts want one before the first hold."""
        self._loop_held.labels(str(position)).inc(held_s)

    def use_config(self, digest: str) -> None:
        self._config_info.clear()
        self._config_info.labels(digest).set(1)

    def forget_worker(self, slot: int) -> None:
        """Drops what a dead worker left in its gauges; its counters go on in the slot's next worker."""
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(slot, str(self._workers_dir))


class _WorkerFiles:
    """A collector of what all workers wrote."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        from prometheus_client.multiprocess import MultiProcessCollector

        # One that was killed between making and sizing its file left an empty one.
        files = [str(path) for path in self._folder.glob("*.db") if path.stat().st_size > 0]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files, accumulate=True)
        return merged


class MetricsPage:
    """`GET /metrics` on a loopback port, in threads of its own: a scrape never stalls the supervisor's loop."""

    def __init__(self, address: Address, registry: CollectorRegistry) -> None:
        self._server = _Server((address.host, address.port), registry)
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], registry: CollectorRegistry) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.registry = registry
        super().__init__(address, _Page)


class _Page(BaseHTTPRequestHandler):
    server: _Server
    timeout = _READ_TIMEOUT_S
    server_version = "sidecar"
    sys_version = ""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self._answer(404, "text/plain; charset=utf-8", b"only /metrics is here\n")
            return
        from prometheus_client.exposition import choose_encoder

        encoder, content_type = choose_encoder(self.headers.get("Accept", ""))
        for attempt in range(1, _READS_MAX + 1):
            try:
                body = encoder(self.server.registry)
            except (struct.error, ValueError, RuntimeError, OSError) as error:  # what a half-written file raises
                if attempt == _READS_MAX:
                    _log.warning("metrics could not be read: %r", error)
                    self._answer(503, "text/plain; charset=utf-8", b"metrics could not be read, try again\n")
                    return
                time.sleep(_READ_PAUSE_S)
            else:
                self._answer(200, content_type, body)
                return

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes are no news."""
