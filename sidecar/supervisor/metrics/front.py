"""The front's counters, connections and certificate, read at each scrape.

Nginx exposes its counters on a unix socket in its private folder; connections come from the kernel, and the
certificate from a TLS handshake. Whatever cannot be read is omitted, as if the process were down.
"""

from __future__ import annotations

import http.client
import logging
import os
import socket
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Metric

_log = logging.getLogger("sidecar")
# If the front does not answer on its own socket within this time, the scrape continues without it.
_TIMEOUT_S = 2.0
_PAGE_BYTES_MAX = 4 * 1024 * 1024
_ESTABLISHED = "01"  # linux/tcp_states.h


class FrontMetrics:
    """A collector. `ports` are those that clients connect to, `served` returns the certificate that the front
    presents (DER), `page` is the unix socket on which the front serves `GET /metrics`, and `translated` converts
    its families."""

    def __init__(
        self,
        ports: Collection[int],
        served: Callable[[], bytes | None],
        page: Path,
        translated: Callable[[Iterable[Metric]], Iterable[Metric]],
    ) -> None:
        self._ports = ports
        self._served = served
        self._page = page
        self._translated = translated

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        yield from self._own()
        connections = established(self._ports)
        if connections is not None:
            family = GaugeMetricFamily("sidecar_front_connections", "Open client connections of the front.")
            family.add_metric((), connections)
            yield family
        expiry_s = expires_at(self._served())
        if expiry_s is not None:
            family = GaugeMetricFamily(
                "sidecar_certificate_expiry_timestamp_seconds",
                "Unix time at which the certificate that the front serves expires.",
            )
            family.add_metric((), expiry_s)
            yield family

    def _own(self) -> Iterator[Metric]:
        from prometheus_client.parser import text_string_to_metric_families

        try:
            text = _get(self._page, "/metrics")
        except (OSError, http.client.HTTPException):
            return
        yield from self._translated(text_string_to_metric_families(text))


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("front", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        # Through a descriptor of its folder, because the path may exceed the limit for sockets (107 bytes).
        folder = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(_TIMEOUT_S)
            self.sock.connect(f"/proc/self/fd/{folder}/{self._path.name}")
        finally:
            os.close(folder)


def _get(socket_path: Path, path: str) -> str:
    connection = _UnixConnection(socket_path)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status != 200:
            raise http.client.HTTPException(f"status {answer.status}")
        return answer.read(_PAGE_BYTES_MAX).decode()
    finally:
        connection.close()


def established(ports: Collection[int]) -> int | None:
    """Number of TCP connections accepted on the ports on this machine. None if the kernel does not tell."""
    found = None
    for name in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", name).read_text().splitlines()[1:]
        except OSError:
            continue
        found = (found or 0) + sum(_is_on(line.split(), ports) for line in lines)
    return found


def _is_on(columns: list[str], ports: Collection[int]) -> bool:
    return columns[3] == _ESTABLISHED and int(columns[1].rpartition(":")[2], 16) in ports


def expires_at(certificate: bytes | None) -> float | None:
    """Expiry of a certificate (DER) in Unix time. None if it is missing or unreadable."""
    from cryptography import x509

    if certificate is None:
        return None
    try:
        return x509.load_der_x509_certificate(certificate).not_valid_after_utc.timestamp()
    except ValueError as error:
        _log.debug("The front's certificate cannot be read: %s", error)
        return None
