"""`sidecar up` in front of a provider that serves clients with a certificate alone: renewed, lost, mismatched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import trustme

from tests.processes import wait_until
from tests.provider import Provider
from tests.stack.stack import Stack, route

METRIC = "sidecar_client_certificate_expiry_timestamp_seconds"
ASK = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}


def _put(folder: Path, made: trustme.LeafCert) -> None:
    (folder / "client.key").write_bytes(made.private_key_pem.bytes())
    (folder / "client.pem").write_bytes(b"".join(each.bytes() for each in made.cert_chain_pems))


def test_a_client_certificate_is_followed_and_never_lost(tmp_path: Path) -> None:
    clients, strangers = trustme.CA(), trustme.CA()
    _put(tmp_path, strangers.issue_cert("gateway.example"))
    with Provider(tls=True, clients_ca=clients) as provider:
        extra = f"ca_file: {provider.ca_file}\nclient_certificate: {{certificate: client.pem, key: client.key}}"
        config = "routes:\n" + route("chat", "chat", provider, extra=extra)
        with Stack(tmp_path, config, workers=1) as stack, stack.http() as http:

            def status() -> int:
                return http.post("/v1/chat/completions", json=ASK).status_code

            assert status() == 503
            wait_until(lambda: "certificate" in stack.log and "upstream openai-compatible" in stack.log, 10, "why")
            assert stack.metric(METRIC, file=str(tmp_path / "client.pem")) > 0

            _put(tmp_path, clients.issue_cert("gateway.example"))
            wait_until(lambda: status() == 200, 30, "the renewed certificate")

            refused = partial(stack.metric, "sidecar_config_reloads_total", result="failure")
            before = refused()
            (tmp_path / "client.key").write_bytes(strangers.issue_cert("x.example").private_key_pem.bytes())
            wait_until(lambda: refused() > before, 30, "the mismatch is seen")
            assert "client_certificate: the certificate and the key do not match" in stack.log
            assert _check(tmp_path) == 1
            before = refused()
            (tmp_path / "client.pem").unlink()
            wait_until(lambda: refused() > before, 30, "the loss is seen")
            assert 'client_certificate.certificate: file "client.pem" does not exist' in stack.log
            assert status() == 200
            worker = stack.worker_pids[0]
            os.kill(worker, signal.SIGKILL)  # another one has to connect anew
            wait_until(lambda: stack.worker_pids not in ([], [worker]), 30, "another worker")
            wait_until(lambda: status() == 200, 30, "it calls with what was read")
            assert stack.metric(METRIC, file=str(tmp_path / "client.pem")) > 0


def _check(folder: Path) -> int:
    command = [sys.executable, "-m", "sidecar", "check", str(folder / "config.yaml")]
    return subprocess.run(command, capture_output=True, check=False).returncode
