"""Tokens that the gateway fetches: from a token service on loopback, for a worker as the supervisor starts it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from sidecar.domain.snapshot import Snapshot
from tests.config.loading import loaded
from tests.provider import Call, Gate, Provider, Reply, error_reply, json_reply
from tests.worker.running import WorkerProcess
from tests.worker.test_rest import Http, chat, post

SECRET = "client-secret-canary-0123456789"
TOKEN = "token-canary-0123456789"


class TokenService:
    """Gives out TOKEN-1, TOKEN-2 ...; `life_s` and `failure` say how it answers."""

    def __init__(self, server: Provider) -> None:
        self.server = server
        self.life_s: int | str = 3600
        self.failure: Reply | None = None
        self.gate: Gate | None = None
        server.script = self._answer

    def _answer(self, call: Call) -> Reply:
        if self.failure is not None:
            return self.failure
        token = f"{TOKEN}-{len(self.server.calls)}"
        reply = json_reply({"token_type": "Bearer", "expires_in": self.life_s, "access_token": token})
        if self.gate is not None:
            reply = replace(reply, before=self.gate)
        return reply


@pytest.fixture
def service() -> Iterator[TokenService]:
    with Provider() as server:
        yield TokenService(server)


def entra(provider: Provider, service: TokenService, extra: str = "") -> Snapshot:
    config = f"azure_client_id: c-1, azure_client_secret: $SECRET, azure_token_url: {service.server.root_url}/t-1/token"
    return _snapshot(f"{{provider: azure, name: gpt-4o, config: {{base_url: {provider.root_url}, {config}{extra}}}}}")


def _snapshot(model: str) -> Snapshot:
    return loaded(f"routes:\n  - name: chat\n    route_type: llm/v1/chat\n    model: {model}\n", SECRET=SECRET)


def seen(provider: Provider) -> list[str]:
    return [call.headers["authorization"] for call in provider.calls]


_POLL_S = 0.01  # between calls that wait for a renewal


def form_of(call: Call) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(call.body.decode()).items()}


async def ask(worker: WorkerProcess) -> Http:
    return await post(worker, "ChatCompletions", chat())


async def test_an_entra_token_is_fetched_once_and_used_for_every_call(
    provider: Provider, service: TokenService
) -> None:
    async with WorkerProcess(entra(provider, service)) as worker:
        answers = await asyncio.gather(*(ask(worker) for _ in range(8)))
        answers.append(await ask(worker))
    assert [answer.status for answer in answers] == [200] * 9
    assert set(seen(provider)) == {f"Bearer {TOKEN}-1"}
    (call,) = service.server.calls
    assert (call.method, call.path) == ("POST", "/t-1/token")
    assert form_of(call) == {
        "grant_type": "client_credentials",
        "client_id": "c-1",
        "client_secret": SECRET,
        "scope": "https://cognitiveservices.azure.com/.default",
    }
    assert provider.calls[0].path == "/openai/v1/chat/completions"


async def test_a_token_is_renewed_before_it_ends_while_calls_go_on_with_the_old_one(
    provider: Provider, service: TokenService
) -> None:
    service.life_s = "8"  # so that renewal is due after 4 s, and the token is used until 7.2 s
    async with WorkerProcess(entra(provider, service)) as worker:
        assert (await ask(worker)).status == 200
        service.gate = service.server.gate("renewal")
        async with asyncio.timeout(7):
            while len(service.server.calls) < 2:
                assert (await ask(worker)).status == 200
                await asyncio.sleep(_POLL_S)
        before = len(provider.calls)
        assert (await ask(worker)).status == 200
        assert set(seen(provider)[: before + 1]) == {f"Bearer {TOKEN}-1"}
        service.gate.open()
        async with asyncio.timeout(7):
            while seen(provider)[-1] != f"Bearer {TOKEN}-2":
                assert (await ask(worker)).status == 200
                await asyncio.sleep(_POLL_S)
    assert len(service.server.calls) == 2


async def test_a_token_that_has_ended_is_not_used(provider: Provider, service: TokenService) -> None:
    service.life_s = 0
    async with WorkerProcess(entra(provider, service)) as worker:
        for _ in range(3):
            await ask(worker)
    assert seen(provider) == [f"Bearer {TOKEN}-{number}" for number in (1, 2, 3)]


async def test_a_provider_that_quotes_the_token_does_not_show_it(provider: Provider, service: TokenService) -> None:
    provider.script = lambda call: error_reply(call, 400, f"bad: {call.headers['authorization'].partition(' ')[2]}")
    async with WorkerProcess(entra(provider, service)) as worker:
        answer = await ask(worker)
        log = worker.log.read_text()
    assert answer.error["message"] == "bad: ***"
    assert TOKEN not in log


async def test_a_refused_token_is_fetched_anew_for_the_next_call(provider: Provider, service: TokenService) -> None:
    provider.script = lambda call: (
        error_reply(call, 401, "revoked") if call.headers["authorization"].endswith("-1") else None
    )
    async with WorkerProcess(entra(provider, service)) as worker:
        first, second = await ask(worker), await ask(worker)
    assert (first.status, second.status) == (424, 200)


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (json_reply({"error": "invalid_client", "error_description": f"{SECRET} is wrong"}, 401), 424),
        (json_reply({"error": "server_error"}, 503), 503),
        (json_reply({"no": "token"}), 502),
        (Reply(200, (), (b"<html>",)), 502),
        (Reply(200, (), (b'{"access_token": "a\\nb"}',)), 502),
        (Reply(302, (("location", "http://127.0.0.1:1/"),), ()), 424),
    ],
    ids=["refused", "away", "no token", "no JSON", "illegal", "redirect"],
)
async def test_a_token_service_that_fails_is_a_failure_of_the_provider_and_shows_no_secret(
    provider: Provider, service: TokenService, failure: Reply, status: int
) -> None:
    service.failure = failure
    async with WorkerProcess(entra(provider, service)) as worker:
        answer = await ask(worker)
        service.failure = None
        healed = await ask(worker)
        log = worker.log.read_text()
    assert (answer.status, healed.status) == (status, 200)
    for text in (answer.body.decode(), log):
        assert SECRET not in text
        assert TOKEN not in text
        assert service.server.root_url not in answer.body.decode()
    assert len(provider.calls) == 1


async def test_a_token_service_that_is_not_there_is_unavailable(provider: Provider) -> None:
    config = "azure_client_id: c-1, azure_client_secret: $SECRET, azure_token_url: http://127.0.0.1:1/token"
    routes = _snapshot(f"{{provider: azure, name: gpt-4o, config: {{base_url: {provider.root_url}, {config}}}}}")
    async with WorkerProcess(routes) as worker:
        answer = await ask(worker)
    assert answer.status == 503
    assert answer.error["message"] == "Cannot connect to the provider's token service."


async def test_a_caller_that_leaves_does_not_take_the_others_token_along(
    provider: Provider, service: TokenService
) -> None:
    service.gate = service.server.gate("token")
    async with WorkerProcess(entra(provider, service)) as worker:
        first, second = asyncio.create_task(ask(worker)), asyncio.create_task(ask(worker))
        await service.server.until(lambda server: len(server.calls) == 1)
        first.cancel()
        service.gate.open()
        assert (await second).status == 200
    assert len(service.server.calls) == 1


async def test_a_managed_identity_is_asked_by_the_machines_own_address(
    provider: Provider, service: TokenService
) -> None:
    config = f"azure_managed_identity: true, azure_client_id: c-1, azure_token_url: {service.server.root_url}/identity"
    routes = _snapshot(f"{{provider: azure, name: gpt-4o, config: {{base_url: {provider.root_url}, {config}}}}}")
    async with WorkerProcess(routes) as worker:
        assert (await ask(worker)).status == 200
    (call,) = service.server.calls
    assert (call.method, call.headers["metadata"]) == ("GET", "true")
    assert parse_qs(urlsplit(call.target).query) == {
        "api-version": ["2018-02-01"],
        "resource": ["https://cognitiveservices.azure.com"],
        "client_id": ["c-1"],
    }


async def test_a_machines_own_address_is_asked_without_the_routes_proxy(
    provider: Provider, service: TokenService
) -> None:
    config = f"azure_managed_identity: true, azure_token_url: {service.server.root_url}/identity"
    routes = _snapshot(
        f"{{provider: azure, name: gpt-4o, config: {{base_url: {provider.root_url}, {config}}}}}\n    proxy: http://127.0.0.1:1"
    )
    async with WorkerProcess(routes) as worker:
        assert (await ask(worker)).status == 503
    assert len(service.server.calls) == 1
    assert not provider.calls


async def test_databricks_gives_a_token_for_basic_credentials_and_answers_at_the_endpoint(provider: Provider) -> None:
    def script(call: Call) -> Reply | None:
        if call.path == "/oidc/v1/token":
            return json_reply({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600})
        message = {"role": "assistant", "content": "hi"}
        return json_reply(
            {"id": "1", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        )

    provider.script = script
    config = f"{{host: {provider.root_url}, client_id: c-1, client_secret: $SECRET}}"
    async with WorkerProcess(_snapshot(f"{{provider: databricks, name: my endpoint, config: {config}}}")) as worker:
        assert (await ask(worker)).status == 200
    token, call = provider.calls
    assert token.headers["authorization"] == "Basic " + base64.b64encode(f"c-1:{SECRET}".encode()).decode()
    assert form_of(token) == {"grant_type": "client_credentials", "scope": "all-apis"}
    assert call.path == "/serving-endpoints/my%20endpoint/invocations"
    assert call.headers["authorization"] == f"Bearer {TOKEN}"
    assert "model" not in call.json
