"""TLS to providers: verified, by the CA the route names and by no other."""

from __future__ import annotations

import shutil
from pathlib import Path

import grpc
import grpc.aio
import pytest
import trustme

from adapters import Task
from sidecar.v1 import inference_pb2 as pb
from tests.provider import Provider
from tests.worker.running import WorkerProcess, route, snapshot

_HELLO = pb.ChatRequest(route="chat", messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="hello")])])


async def test_a_providers_certificate_is_verified(tls_provider: Provider, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(bundle))
    for ca_file in (None, str(bundle)):  # the system's CAs, and somebody else's
        routes = snapshot([route("chat", Task.CHAT, tls_provider.base_url, ca_file=ca_file)])
        async with WorkerProcess(routes) as worker:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await worker.inference().Chat(_HELLO)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "TLS" in (caught.value.details() or "")
    assert tls_provider.calls == [], "a key was sent to a server that could not be verified"


async def test_a_renewed_bundle_is_used_from_the_reload_on_and_stays_as_it_was_read(
    tls_provider: Provider, tmp_path: Path
) -> None:
    bundle = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(bundle))
    routes = snapshot([route("chat", Task.CHAT, tls_provider.base_url, ca_file=str(bundle))])
    async with WorkerProcess(routes) as worker:
        stub = worker.inference()
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Chat(_HELLO)
        shutil.copy(tls_provider.ca_file, bundle)
        renewed = route("chat", Task.CHAT, tls_provider.base_url, ca_file=str(bundle))
        await worker.reload(snapshot([renewed], "1" * 12))
        bundle.write_text("-----BEGIN CERTIFICATE-----")  # what comes of the file afterwards is nothing to the worker
        answer = await stub.Chat(_HELLO)
    assert answer.choices[0].message.content[0].text


async def test_environment_proxies_are_ignored(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # nobody listens there
    async with WorkerProcess(snapshot([route("chat", Task.CHAT, provider.base_url)])) as worker:
        answer = await worker.inference().Chat(_HELLO)
    assert answer.choices[0].message.content[0].text
    assert len(provider.calls) == 1
