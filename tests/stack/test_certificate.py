"""A renewed certificate is served without a restart, streams under way going on."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
from cryptography import x509

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


def _expires_s(pem: str) -> float:
    return x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc.timestamp()


def _expires(stack: Stack, pem: str) -> bool:
    return stack.metric("sidecar_certificate_expiry_timestamp_seconds") == _expires_s(pem)


def _put(source: Path, target: Path, *, how: str) -> None:
    if how == "renamed":
        fresh = target.with_name("fresh")
        shutil.copy(source, fresh)
        fresh.replace(target)
    else:
        target.write_bytes(source.read_bytes())


def _reloaded(stack: Stack, times: int) -> bool:
    return stack.metric("sidecar_front_reloads_total", result="success") == times


@pytest.mark.parametrize("front", ["nginx", "envoy"])
def test_the_front_follows_renewed_files_by_itself_and_never_half_of_them(
    tmp_path: Path, provider: Provider, front: str
) -> None:
    given = tmp_path / "given"
    folders = [given, *(tmp_path / how for how in ("renamed", "overwritten"))]
    for days, folder in enumerate(reversed(folders)):
        folder.mkdir()
        ensure_certificates(folder, now=datetime.now(UTC) - timedelta(days=days))
    options = ("--tls-certificate", str(given / "tls.crt"), "--tls-key", str(given / "tls.key"))
    with Stack(tmp_path, config_for(provider), workers=1, options=options, front=front) as stack:
        for count, folder in enumerate(folders[1:], 1):
            before, new = _served(stack), (folder / "tls.crt").read_text()
            _put(folder / "tls.key", given / "tls.key", how=folder.name)
            wait_until(lambda: stack.metric("sidecar_certificate_files_usable") == 0, 30, "that the two do not fit")
            words = f"keeps its old certificate: {given / 'tls.crt'} and {given / 'tls.key'}"
            wait_until(lambda words=words: words in stack.log, 30, words)  # type: ignore[misc]
            assert _served(stack) == before
            _put(folder / "tls.crt", given / "tls.crt", how=folder.name)
            wait_until(partial(_reloaded, stack, count), 30, "the reload")
            # For a moment Nginx's old processes still take connections, those that ask for the metric too.
            wait_until(lambda new=new: _served(stack).strip() in new, 30, "only the new certificate")  # type: ignore[misc]
            wait_until(lambda: stack.metric("sidecar_certificate_files_usable") == 1, 30, "that the two fit")
            wait_until(partial(_expires, stack, new), 30, "its end as a metric")
        assert stack.metric("sidecar_front_reloads_total", result="failure") == 0

        # A front that dies while its files are lost comes back with what it had.
        (given / "tls.key").unlink()
        (given / "tls.crt").write_text((given / "tls.crt").read_text()[:300])
        wait_until(lambda: stack.metric("sidecar_certificate_files_usable") == 0, 30, "the loss")
        stack.env["SIDECAR_CA"] = str(folders[-1] / "ca.pem")
        first = (stack.nginx_pids or stack.envoy_pids)[0]
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: first not in (stack.nginx_pids or stack.envoy_pids or [first]), 30, "another front")
        wait_until(lambda: _answers(stack), 30, "an answer")
        assert _expires(stack, new)
