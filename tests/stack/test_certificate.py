"""A renewed certificate is served without a restart, streams under way going on."""

from __future__ import annotations

import signal
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from sidecar.front.pki import ensure_certificates
from tests.processes import wait_until
from tests.provider import Provider
from tests.stack.stack import Stack, config_for, route

ASK = {"messages": [{"role": "user", "content": "hello"}], "stream": True}


def _served(stack: Stack) -> str:
    return ssl.get_server_certificate(("127.0.0.1", stack.port), timeout=10)


def _answers(stack: Stack) -> bool:
    with stack.http() as http:
        try:
            return http.get("/v1/models").status_code == 200
        except httpx.ConnectError:
            return False


@pytest.mark.parametrize("front", ["nginx", "envoy"])
def test_a_renewed_certificate_is_served_and_open_streams_go_on(tmp_path: Path, provider: Provider, front: str) -> None:
    held = route("held", "chat", provider, model="sim:tokens=6,gate=hold,gate_at=3")
    given, renewed = tmp_path / "given", tmp_path / "renewed"
    for folder in (given, renewed):
        folder.mkdir()
    ensure_certificates(given, now=datetime.now(UTC) - timedelta(days=1))
    ensure_certificates(renewed)
    options = ("--tls-certificate", str(given / "tls.crt"), "--tls-key", str(given / "tls.key"))
    with Stack(tmp_path, config_for(provider, held), options=options, front=front) as stack:
        stack.env["SIDECAR_CA"] = str(given / "ca.pem")
        before = _served(stack)
        with stack.http() as http, http.stream("POST", "/v1/chat/completions", json={"model": "held", **ASK}) as answer:
            pieces = answer.iter_lines()
            assert next(pieces).startswith("data: ")
            for name in ("tls.key", "tls.crt"):
                (renewed / name).replace(given / name)
            stack.process.send(signal.SIGHUP)
            wait_until(lambda: _served(stack) != before, 30, "the new certificate")
            provider.gate("hold").open()
            assert list(pieces)[-2:] == ["data: [DONE]", ""]
        # For a moment Nginx's old processes still take connections.
        stack.env["SIDECAR_CA"] = str(renewed / "ca.pem")
        wait_until(lambda: _answers(stack), 30, "only the new certificate")
