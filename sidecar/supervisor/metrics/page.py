"""The supervisor's own metrics, and the page that combines them with those of all workers."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal

from sidecar.domain.snapshot import Snapshot
from sidecar.supervisor.start.addresses import Address
from sidecar.telemetry import metric_memory

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Metric

_log = logging.getLogger("sidecar")
# A series that a worker is just creating may be read incompletely; the next reading is complete.
_READS_MAX = 5
_READ_PAUSE_S = 0.02
# Concurrent requests: one or two scrapers are normal, but the port may be open to a network.
_CONNECTIONS_MAX = 64
_TEXT = "text/plain; charset=utf-8"
_READ_TIMEOUT_S = 5.0  # a silent client must not hold a thread


class SupervisorMetrics:
    """Metrics that only the supervisor has, in this process's memory, plus the memory of the workers' metrics, one
    file per slot."""

    def __init__(self) -> None:
        # In the environment, this would turn the supervisor's own metrics into files.
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
        from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics

        disable_created_metrics()  # workers do not have these either
        self._memories: dict[int, int | None] = {}
        self.registry = CollectorRegistry()
        self.registry.register(_OfWorkers(self._memories))
        # 1
        self.worker_restarts = Counter(
            "sidecar_worker_restarts_total", "Workers that died and were restarted.", registry=self.registry
        )
        # 1
        self.worker_hangs = Counter(
            "sidecar_worker_hangs_total", "Workers that hung and were replaced.", registry=self.registry
        )
        # N workers
        self._loop_held = Counter(
            "sidecar_worker_loop_held_seconds_total",
            "Seconds in which a worker's event loop was blocked, counting only blocks of more than a second.",
            ("worker",),
            registry=self.registry,
        )
        # 1
        self.workers_up = Gauge("sidecar_workers_up", "Workers that are serving.", registry=self.registry)
        self._count_configurations(Counter, Gauge)
        self._count_certificates(Counter, Gauge)

    def _count_configurations(self, counter: type[Counter], gauge: type[Gauge]) -> None:
        # 3: success, failure, unconfirmed
        self.config_reloads = counter(
            "sidecar_config_reloads_total",
            "Configurations loaded after the start, by result.",
            ("result",),
            registry=self.registry,
        )
        for result in ("success", "failure", "unconfirmed"):
            self.config_reloads.labels(result)  # alerts need a 0 before the first failure
        # 1
        self._taken = gauge(
            "sidecar_config_last_reload_successful",
            "Whether the configuration on disk is in use: 0 while it is invalid or not confirmed.",
            registry=self.registry,
        )
        self._taken.set(1)
        # 1
        self._unconfirmed = gauge(
            "sidecar_config_unconfirmed",
            "Whether the configuration on disk would let callers do more and waits for `sidecar reload`.",
            registry=self.registry,
        )
        # 1: when the label changes, the old series is removed
        self._config_info = gauge(
            "sidecar_config_info",
            "Hash of the configuration in use; the value is always 1.",
            ("hash",),
            registry=self.registry,
        )
        # client certificates of the configuration
        self._client_certificates = gauge(
            "sidecar_client_certificate_expiry_timestamp_seconds",
            "Unix time at which a client certificate of the gateway expires.",
            ("file",),
            registry=self.registry,
        )

    def _count_certificates(self, counter: type[Counter], gauge: type[Gauge]) -> None:
        # 2
        self.front_reloads = counter(
            "sidecar_front_reloads_total",
            "Files given to the front: success is a renewed certificate seen by a handshake, failure a file it refused.",
            ("result",),
            registry=self.registry,
        )
        for result in ("success", "failure"):
            self.front_reloads.labels(result)
        # 1
        self._certificate_usable = gauge(
            "sidecar_certificate_files_usable",
            "Whether the certificate and key files of the front match; if not, the front keeps the old ones.",
            registry=self.registry,
        )
        self.certificate_usable(usable=True)

    def reloaded(self, result: Literal["success", "failure", "unconfirmed"]) -> None:
        """A changed configuration was read: it is in use, was refused, or waits for confirmation."""
        self.config_reloads.labels(result).inc()
        self._taken.set(result == "success")
        self._unconfirmed.set(result == "unconfirmed")

    def certificate_usable(self, *, usable: bool) -> None:
        self.files_usable = usable
        self._certificate_usable.set(usable)

    def loop_held(self, position: int, held_s: float) -> None:
        """0 creates the series, which alerts need before the first block."""
        self._loop_held.labels(str(position)).inc(held_s)

    def use_config(self, snapshot: Snapshot) -> None:
        self._config_info.clear()
        self._config_info.labels(snapshot.hash).set(1)
        self._client_certificates.clear()
        for path, expires_s in client_certificates(snapshot).items():
            self._client_certificates.labels(path).set(expires_s)

    def memory_of(self, slot: int) -> int | None:
        """Returns the descriptor in which a worker of this slot counts; None if there is no memory, which is logged
        and shown on the page."""
        fd = self._memories.get(slot)
        if fd is None:
            try:
                fd = metric_memory.make(slot)
            except OSError as error:
                _log.error(
                    "Out of memory for a worker's metrics: %s. Its calls are missing from the metrics page.", error
                )
            self._memories[slot] = fd
        return fd

    def forget_worker(self, slot: int) -> None:
        """Clears the gauges of a dead worker; its counters continue in the slot's next worker."""
        fd = self._memories.get(slot)
        if fd is not None:
            metric_memory.clear_gauges(fd)

    def sums(self, metric: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Adds up a metric of the workers by its labels; empty if a worker is writing it just now. Blocks."""
        for _ in range(_READS_MAX):
            try:
                return metric_memory.sums([fd for fd in tuple(self._memories.values()) if fd is not None], metric)
            except (ValueError, LookupError, OSError):
                time.sleep(_READ_PAUSE_S)
        return {}

    def close(self) -> None:
        """Call it after the last worker has ended."""
        for fd in self._memories.values():
            if fd is not None:
                os.close(fd)
        self._memories.clear()


def client_certificates(snapshot: Snapshot) -> dict[str, int]:
    """Expiry of each client certificate in Unix time, by path."""
    upstreams = (upstream for route in snapshot.routes.values() for upstream in route.upstreams)
    found = {upstream.client_certificate for upstream in upstreams if upstream.client_certificate is not None}
    return {each.path: each.expires_s for each in found}


class _OfWorkers:
    """A collector of what all workers counted, and whether that is complete."""

    def __init__(self, memories: Mapping[int, int | None]) -> None:
        self._memories = memories

    def collect(self) -> Iterable[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        workers, complete = [], True
        for fd in tuple(self._memories.values()):
            series, lost = ([], 1) if fd is None else metric_memory.read(fd)
            workers.append(series)
            complete = complete and not lost
        yield from metric_memory.merged(workers)
        yield GaugeMetricFamily(
            "sidecar_metrics_complete",
            "Whether this page includes all metrics of the workers: 0 while memory for some of them is missing.",
            value=complete,
        )


class MetricsPage:
    """Serves `GET /metrics` and `GET /health` on a port, in dedicated threads, so that a scrape never blocks the
    supervisor."""

    def __init__(self, server: _Server, thread: threading.Thread) -> None:
        self._server = server
        self._thread = thread

    @classmethod
    def open(cls, address: Address, registry: CollectorRegistry, healthy: Callable[[], bool]) -> MetricsPage:
        """Starts listening and serving. `healthy` is called from other threads. Raises OSError."""
        server = _Server((address.host, address.port), registry, healthy)
        thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
        thread.start()
        return cls(server, thread)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], registry: CollectorRegistry, healthy: Callable[[], bool]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.registry = registry
        self.healthy = healthy
        self._places = threading.BoundedSemaphore(_CONNECTIONS_MAX)
        super().__init__(address, _Page)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Closes connections beyond the maximum."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()


class _Page(BaseHTTPRequestHandler):
    server: _Server
    timeout = _READ_TIMEOUT_S
    server_version = "sidecar"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/health":
            healthy = self.server.healthy()
            self._answer(200 if healthy else 503, _TEXT, b"ok\n" if healthy else b"No worker takes calls.\n")
            return
        if path != "/metrics":
            self._answer(404, _TEXT, b"Not found. There are /metrics and /health.\n")
            return
        from prometheus_client.exposition import choose_encoder

        encoder, content_type = choose_encoder(self.headers.get("Accept", ""))
        for attempt in range(1, _READS_MAX + 1):
            try:
                body = encoder(self.server.registry)
            except (ValueError, LookupError, RuntimeError, OSError) as error:  # partly written
                if attempt == _READS_MAX:
                    _log.warning("Cannot read the metrics: %r.", error)
                    self._answer(503, _TEXT, b"The metrics could not be read. Try again.\n")
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
        """Scrapes are not logged."""
