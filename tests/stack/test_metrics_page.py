"""One page for everything: the core's metrics, the front's own, and what the kernel and the certificate say."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator

import pytest
from cryptography import x509

from tests.processes import wait_until
from tests.provider import Provider
from tests.stack.stack import Stack, config_for


@pytest.fixture(scope="module", params=["nginx", "envoy"])
def either(
    tmp_path_factory: pytest.TempPathFactory, simulator: Provider, request: pytest.FixtureRequest
) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("either"), config_for(simulator), front=request.param) as running:
        yield running


def test_the_front_is_on_the_page_beside_the_core(either: Stack) -> None:
    stack = either
    group = "openai"
    with stack.http() as http, stack.http(key=None) as stranger:
        assert http.get("/v1/models").status_code == 200
        assert stranger.get("/v1/models").status_code == 401
        wait_until(lambda: stack.metric("sidecar_front_auth_failures_total") >= 1)
        wait_until(lambda: stack.metric("sidecar_front_requests_total", group=group, **{"class": "2xx"}) >= 1)
        wait_until(lambda: stack.metric("sidecar_front_request_duration_seconds_count", group=group) >= 2, 30)
        for name in ("too_large_total", "connect_errors_total"):
            assert any(sample.name == f"sidecar_front_{name}" for sample in stack.samples()), "there before the first"
        assert stack.metric("sidecar_front_connections") >= 2
        assert stack.metric("sidecar_workers_up") == 2
    wait_until(lambda: stack.metric("sidecar_front_connections") == 0)


def test_the_certificates_end_is_that_of_the_file(stack: Stack) -> None:
    end_s = stack.metric("sidecar_certificate_expiry_timestamp_seconds")
    text = ssl.get_server_certificate(("127.0.0.1", stack.port))
    der = ssl.PEM_cert_to_DER_cert(text)
    assert end_s == x509.load_der_x509_certificate(der).not_valid_after_utc.timestamp()
    assert end_s > time.time()
