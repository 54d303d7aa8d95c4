"""A certificate of the operator's own in front."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import pytest
import trustme

from tests.cli.running import sidecar
from tests.processes import RunningProcess, free_port
from tests.provider import Provider

_ROUTE = """
routes:
  - name: chat
    route_type: llm/v1/chat
    model: {{provider: openai-compatible, name: m, config: {{base_url: "{url}", api_key: "sk-test-0123456789abcdef"}}}}
"""


@pytest.mark.slow
def test_up_serves_the_certificate_it_is_given(tmp_path: Path, provider: Provider) -> None:
    authority, port = trustme.CA(), free_port()
    server = authority.issue_cert("gateway.example", "127.0.0.1")
    chain, key, config = tmp_path / "chain.pem", tmp_path / "key.pem", tmp_path / "config.yaml"
    for number, part in enumerate(server.cert_chain_pems):
        part.write_to_path(str(chain), append=number > 0)
    server.private_key_pem.write_to_path(str(key))
    config.write_text(_ROUTE.format(url=provider.base_url))
    arguments = ["--config-path", str(config), "--state-dir", str(tmp_path / "state"), "--port", str(port)]
    arguments += ["--grpc", "off", "--metrics", "off", "--tls-certificate", str(chain), "--tls-key", str(key)]
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with RunningProcess.python("-m", "sidecar", "up", *arguments) as process:
        process.wait_for_line("Sidecar is running", deadline_s=60)
        assert httpx.get(f"https://127.0.0.1:{port}/health", verify=context).json() == {"status": "OK"}
        assert process.stop(deadline_s=30) == 0
    env = (tmp_path / "state" / "env").read_text()
    assert "SIDECAR_URL" in env
    assert "SIDECAR_CA" not in env, "clients need not trust a private CA here"


def test_a_certificate_without_its_key_is_refused_in_one_line(tmp_path: Path) -> None:
    ended = sidecar("up", "--state-dir", str(tmp_path / "state"), "--tls-certificate", str(tmp_path / "chain.pem"))
    assert ended.returncode == 1
    assert "--tls-certificate and --tls-key must be given together." in ended.stderr
