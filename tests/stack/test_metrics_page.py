"""One page for everything: the core's metrics, the front's own, and what the kernel and the certificate say."""

from __future__ import annotations

import ssl
import time

from cryptography import x509

from tests.processes import wait_until
from tests.stack.stack import Stack


def test_the_front_is_on_the_page_beside_the_core(stack: Stack) -> None:
    with stack.http() as http, stack.http(key=None) as stranger:
        assert http.get("/v1/models").status_code == 200
        assert stranger.get("/v1/models").status_code == 401
        wait_until(lambda: stack.metric("sidecar_front_auth_failures_total") >= 1)
        wait_until(lambda: stack.metric("sidecar_front_requests_total", group="openai", **{"class": "2xx"}) >= 1)
        assert stack.metric("sidecar_front_connections") >= 2
        assert stack.metric("sidecar_workers_up") == 2
    wait_until(lambda: stack.metric("sidecar_front_connections") == 0)


def test_the_certificates_end_is_that_of_the_file(stack: Stack) -> None:
    end_s = stack.metric("sidecar_certificate_expiry_timestamp_seconds")
    text = ssl.get_server_certificate(("127.0.0.1", stack.port))
    der = ssl.PEM_cert_to_DER_cert(text)
    assert end_s == x509.load_der_x509_certificate(der).not_valid_after_utc.timestamp()
    assert end_s > time.time()
