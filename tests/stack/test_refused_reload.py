"""What a running front refuses of new files is in the gateway's log and metrics, and what works goes on."""

from __future__ import annotations

import signal
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509

from sidecar.front.pki import ensure_certificates
from tests.processes import wait_until
from tests.provider import Provider
from tests.stack.stack import Stack, config_for

pytestmark = pytest.mark.slow
WAIT_S = 40
CORS = "cors: {origins: ['https://app.example.com']}\n"


def _served(stack: Stack) -> str:
    return ssl.get_server_certificate(("127.0.0.1", stack.port), timeout=10)


def _expiry_s(pem: str) -> float:
    return x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc.timestamp()


def _failures(stack: Stack, count: int) -> bool:
    return stack.metric("sidecar_front_reloads_total", result="failure") == count


def _given(folder: Path) -> tuple[str, ...]:
    """The options, for a certificate of yesterday."""
    folder.mkdir()
    ensure_certificates(folder, now=datetime.now(UTC) - timedelta(days=1))
    return ("--tls-certificate", str(folder / "tls.crt"), "--tls-key", str(folder / "tls.key"))


def _renew(folder: Path, fresh: Path) -> None:
    for name in ("tls.key", "tls.crt"):
        (fresh / name).replace(folder / name)


def _old_goes_on(stack: Stack, old: str) -> None:
    assert _served(stack) == old
    assert stack.metric("sidecar_certificate_expiry_timestamp_seconds") == _expiry_s(old)
    with stack.http() as http:
        assert http.get("/v1/models").status_code == 200


def test_what_nginx_refuses_is_said_and_counted(tmp_path: Path, provider: Provider) -> None:
    options, fresh = _given(tmp_path / "given"), tmp_path / "fresh"
    fresh.mkdir()
    ensure_certificates(fresh)
    with Stack(tmp_path, config_for(provider), workers=1, options=options) as stack:
        stack.env["SIDECAR_CA"] = str(tmp_path / "given" / "ca.pem")
        old = _served(stack)
        words = "The front goes on with the configuration that it has: Nginx refuses its configuration"
        with open(stack.state / "front" / "nginx.conf", "a") as conf:
            conf.write("nonsense;\n")
        stack.process.send(signal.SIGHUP)
        wait_until(lambda: words in stack.log and "nonsense" in stack.log, WAIT_S, words)
        wait_until(partial(_failures, stack, 1), WAIT_S, "a failure in the metrics")
        _old_goes_on(stack, old)

        obstacle = stack.state / "front" / "run" / "nginx.pid"
        obstacle.unlink()
        obstacle.mkdir()
        _renew(tmp_path / "given", fresh)
        wait_until(partial(_failures, stack, 2), WAIT_S, "a failure for the certificate")
        assert "run/nginx.pid" in stack.log
        _old_goes_on(stack, old)

        stack.config.write_text(config_for(provider) + CORS)
        wait_until(partial(_failures, stack, 3), WAIT_S, "a failure for the origins, too")
        _old_goes_on(stack, old)

        obstacle.rmdir()
        stack.process.send(signal.SIGHUP)
        wait_until(lambda: _served(stack) != old, WAIT_S, "the new certificate")


def test_what_envoy_refuses_is_said_and_counted(tmp_path: Path, provider: Provider) -> None:
    options, fresh = _given(tmp_path / "given"), tmp_path / "fresh"
    fresh.mkdir()
    with Stack(tmp_path, config_for(provider), workers=1, options=options, front="envoy") as stack:
        stack.env["SIDECAR_CA"] = str(tmp_path / "given" / "ca.pem")
        old = _served(stack)
        made = ["-keyout", str(fresh / "tls.key"), "-out", str(fresh / "tls.crt"), "-subj", "/CN=localhost", "-nodes"]
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"]  # OpenSSL knows it, BoringSSL does not
        subprocess.run(["openssl", "req", "-x509", *curve, *made], check=True, capture_output=True)
        _renew(tmp_path / "given", fresh)
        words = "Envoy goes on with the certificate that it has. Its log has the reason."
        wait_until(lambda: words in stack.log, WAIT_S, words)
        assert _failures(stack, 1)
        _old_goes_on(stack, old)

        users = stack.state / "front" / "users.json"
        users.with_name("broken").write_text("{}{")
        users.with_name("broken").replace(users)
        wait_until(lambda: "Envoy goes on with the users that it has" in stack.log, WAIT_S, "the users")
        assert _failures(stack, 2)
        _old_goes_on(stack, old)
