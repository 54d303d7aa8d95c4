"""A front that was given a renewed certificate and does not show it: said in the log and counted."""

from __future__ import annotations

import asyncio
import logging
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sidecar.front.pki import Certificates, ensure_certificates
from sidecar.supervisor.metrics.page import SupervisorMetrics
from sidecar.supervisor.start.addresses import Address
from sidecar.supervisor.start.certificate_duty import CertificateDuty, take
from sidecar.supervisor.start.self_check import Entrance
from sidecar.supervisor.start.served_certificate import ServedCertificate
from tests.processes import free_port, reached


def _files(folder: Path, days: int) -> Certificates:
    folder.mkdir()
    return ensure_certificates(folder, now=datetime.now(UTC) - timedelta(days=days))


def _results(metrics: SupervisorMetrics) -> tuple[float | None, float | None]:
    value = metrics.registry.get_sample_value
    success, failure = (value("sidecar_front_reloads_total", {"result": result}) for result in ("success", "failure"))
    return success, failure


@pytest.mark.parametrize("follows", [True, False])
async def test_a_front_that_does_not_follow_is_in_the_log_and_in_the_metrics(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, follows: bool
) -> None:
    caplog.set_level(logging.INFO, "sidecar")
    old = _files(tmp_path / "old", 1)
    _files(tmp_path / "new", 0)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(old.certificate, old.key)
    port, metrics = free_port(), SupervisorMetrics()
    certificate = ServedCertificate((old.certificate, old.key), tmp_path / "served")
    assert certificate.changed()
    assert take(certificate)
    assert not take(certificate)

    async def switch() -> bool:
        if follows:
            context.load_cert_chain(certificate.chain, certificate.key)
        return True

    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port, ssl=context)
    duty = CertificateDuty(certificate, Entrance(Address("127.0.0.1", port)), metrics, switch, follow_s=0.5)
    task = asyncio.create_task(duty.follow())
    try:
        (tmp_path / "new" / "tls.key").replace(old.key)
        (tmp_path / "new" / "tls.crt").replace(old.certificate)
        await reached(lambda: _results(metrics) == ((1, 0) if follows else (0, 1)), 20)
    finally:
        task.cancel()
        server.close()
    assert ("serves the renewed certificate" in caplog.text) is follows
    assert ("does not serve the renewed certificate after 0.5 s" in caplog.text) is not follows
    assert len(list((tmp_path / "served").iterdir())) == 2
