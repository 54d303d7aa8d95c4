"""Provider keys are in no log, metric, answer, trailer, file or process, whatever providers and configs do with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from sidecar.config import ConfigErrors, load, reader
from sidecar.v1 import inference_pb2_grpc, routes_pb2, routes_pb2_grpc
from tests.cli.running import sidecar
from tests.processes import wait_until
from tests.provider import Provider
from tests.stack.canary import Canary, Careless, Scanner
from tests.stack.load import chat_body, chat_request
from tests.stack.stack import FRONT, LOCAL, Stack
from tests.supervisor.supervised import descendants

pytestmark = pytest.mark.slow
NAMES = ("environment", "file", "literal", "anthropic")
SAYS = ("ok", "401", "403", "404", "429", "500", "html", "headers", "in_stream", "redirect", "no_json")


@contextmanager
def _stack(folder: Path, provider: Provider, canaries: dict[str, Canary]) -> Iterator[Stack]:
    (folder / "secret").write_text(canaries["file"].key + "\n")
    with Stack(folder, _config(folder, provider, canaries), env={"CANARY_KEY": canaries["environment"].key}) as stack:
        yield stack


def _config(folder: Path, provider: Provider, canaries: dict[str, Canary]) -> str:
    keys = {"environment": "$CANARY_KEY", "file": f"file:{folder}/secret", "literal": canaries["literal"].key}
    lines = ["routes:"]
    for name, key in keys.items():
        config = json.dumps({"base_url": provider.base_url, "api_key": key})
        lines.append(f"  - name: {name}\n    route_type: llm/v1/chat")
        lines.append(f"    model: {{provider: openai-compatible, name: m, config: {config}}}")
    config = json.dumps({"anthropic_api_base": provider.root_url, "anthropic_api_key": canaries["anthropic"].key})
    lines.append("  - name: anthropic\n    route_type: llm/v1/chat")
    lines.append(f"    model: {{provider: anthropic, name: m, config: {config}}}")
    return "\n".join(lines) + "\n"


def _ask_rest(stack: Stack, scanner: Scanner, http: httpx.Client, route: str, wish: str) -> None:
    for stream in (False, True):
        body = chat_body(wish, model=route, stream=stream, max_tokens=50)
        where = f"the REST answer of {route} to {wish}, stream={stream}"
        try:
            answer = http.post("/v1/chat/completions", json=body)
            scanner.look(where, f"{answer.status_code} {answer.headers.raw!r} ".encode() + answer.content)
        except httpx.HTTPError as error:
            scanner.look(where, repr(error))


async def _ask_grpc(stack: Stack, scanner: Scanner, entrance: str, route: str, wish: str) -> None:
    request = chat_request(wish, route=route)
    request.max_tokens = 50
    async with stack.channel(entrance) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        for method, stream in ((stub.Chat, False), (stub.StreamChat, True)):
            where, call = (
                f"the gRPC answer ({entrance}) of {route} to {wish}, stream={stream}",
                method(request, metadata=stack.metadata(entrance), timeout=20),
            )
            try:
                answers = [answer async for answer in call] if stream else [await call]
                scanner.look(where, "".join(map(str, answers)))
            except grpc.aio.AioRpcError as error:
                seen = (
                    error,
                    error.details(),
                    error.debug_error_string(),
                    error.trailing_metadata(),
                    error.initial_metadata(),
                )
                scanner.look(where, " ".join(map(repr, seen)))
            scanner.look(
                f"the trailers of {where}", repr((await call.trailing_metadata(), await call.initial_metadata()))
            )


async def _look_at_services(stack: Stack, scanner: Scanner) -> None:
    """Routes, and all that reflection tells."""
    async with stack.channel(LOCAL) as channel:
        scanner.look(
            "ListRoutes",
            str(await routes_pb2_grpc.RouteServiceStub(channel).ListRoutes(routes_pb2.ListRoutesRequest())),
        )
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)

        async def ask(**question: str) -> Any:
            requests = [reflection_pb2.ServerReflectionRequest(**question)]
            return await anext(aiter(reflection.ServerReflectionInfo(iter(requests))))

        services = await ask(list_services="")
        names = [service.name for service in services.list_services_response.service]
        assert "sidecar.v1.InferenceService" in names
        for name in names:
            answer = await ask(file_containing_symbol=name)
            scanner.look(f"reflection of {name}", answer.SerializeToString() + str(answer).encode())


def _look_around(stack: Stack, scanner: Scanner) -> None:
    """Logs, metrics, the state directory, processes."""
    scanner.look("the log", stack.log)
    scanner.look("the metrics", stack.metrics_text())
    scanner.look_into(stack.state)
    assert list((stack.state / "front").glob("nginx.conf")), "the rendered Nginx files are among them"
    nginx = set(stack.nginx_pids)
    assert nginx
    for pid in (stack.process.pid, *descendants(stack.process.pid)):
        # The supervisor and the workers have the environment that the operator gave them; Nginx must not.
        scanner.look_at_process(pid, environment=pid in nginx)


async def test_a_providers_key_is_nowhere_but_at_the_provider(tmp_path: Path, provider: Provider) -> None:
    canaries = {name: Canary(name) for name in NAMES}
    scanner, careless = Scanner(list(canaries.values())), Careless(canaries)
    provider.script = careless
    with _stack(tmp_path, provider, canaries) as stack:
        with stack.http() as http:
            for route in NAMES:
                for wish in SAYS:
                    _ask_rest(stack, scanner, http, route, wish)
                    for entrance in (LOCAL, FRONT):
                        await _ask_grpc(stack, scanner, entrance, route, wish)
            scanner.look("the models", http.get("/v1/models").text)
        await _look_at_services(stack, scanner)
        _look_around(stack, scanner)
        for command in ("routes", "check"):
            done = sidecar(command, *([str(stack.config)] if command == "check" else ["--state-dir", str(stack.state)]))
            scanner.look(f"sidecar {command}", done.stdout + done.stderr)
        assert stack.stop() == 0
        scanner.look("the log to its end", stack.log)
        scanner.look_into(stack.state)
    print(
        f"\n{len(provider.calls)} calls at the provider, {scanner.looked:,} bytes looked at, findings: {scanner.findings}"
    )
    assert scanner.findings == []
    assert careless.seen == {(name, wish) for name in NAMES for wish in SAYS}, (
        "the provider got each real key each time"
    )


def _wrong_places(key: str) -> dict[str, str]:
    """Configs with the key where it does not belong."""

    def route(**words: str) -> str:
        words = {
            "name": "chat",
            "type": "llm/v1/chat",
            "provider": "openai",
            "config": f"{{openai_api_key: {key}}}",
            **words,
        }
        return (
            f"routes:\n  - name: {words['name']}\n    route_type: {words['type']}\n"
            f"    model: {{provider: {words['provider']}, name: m, config: {words['config']}}}\n{words.get('more', '')}"
        )

    return {
        "a key of the file": f"{key}: 1\n{route()}",
        "a key of a route": route(more=f"    {key}: 1\n"),
        "the provider": route(provider=key),
        "the route type": route(type=key),
        "a list for a name": route(name=f"[{key}]"),
        "no blank after the colon": route(config=f"{{openai_api_key:{key}}}"),
        "a number": route(more=f"    timeouts: {{total: {key}}}\n"),
        "a URL": route(config=f"{{openai_api_key: x, openai_api_base: 'http://{key}@'}}"),
        "a URL without a scheme": route(config=f"{{openai_api_key: x, openai_api_base: '{key}'}}"),
        "a variable's name": route(config=f"{{openai_api_key: ${key}}}"),
        "a file's name": route(config=f"{{openai_api_key: 'file:/nowhere/{key}'}}"),
        "an open quote": route(config=f"{{openai_api_key: '{key}"),
        "a bad escape": route(config=f'{{openai_api_key: "\\q{key}"}}'),
        "an alias": route(config=f"{{openai_api_key: *{key}}}"),
        "a tag": route(config=f"{{openai_api_key: !{key} x}}"),
        "twice": route(config=f"{{openai_api_key: {key}, openai_api_key: {key}}}"),
        "a list": f"- {key}\n",
        "bare": f"{key}\n",
        "a control character": route(config=f"{{openai_api_key: {key}\x01}}"),
        "an unknown key beside it": route(config=f"{{openai_api_key: {key}, opneai_api_base: x}}"),
    }


async def test_a_config_with_the_key_in_the_wrong_place_does_not_show_it_when_it_is_refused(
    tmp_path: Path, provider: Provider
) -> None:
    canaries = {name: Canary(name) for name in NAMES}
    scanner, refused = Scanner(list(canaries.values())), 0
    with _stack(tmp_path, provider, canaries) as stack:
        good = stack.config.read_text()
        for name in ("literal", "environment"):
            for place, text in _wrong_places(canaries[name].key).items():
                stack.config.write_text(text)
                before = refused
                wait_until(lambda: stack.metric("sidecar_config_reloads_total", result="failure") > before, 10, place)  # noqa: B023
                refused = int(stack.metric("sidecar_config_reloads_total", result="failure"))
                if name == "literal":
                    done = sidecar("check", str(stack.config))
                    assert done.returncode == 1, place
                    scanner.look(f"sidecar check, {place}", done.stdout + done.stderr)
        stack.config.write_text(good)
        wait_until(lambda: stack.metric("sidecar_config_reloads_total", result="success") == 1)
        _look_around(stack, scanner)
        assert stack.stop() == 0
        scanner.look("the log", stack.log)
    print(f"\n{refused} broken configs refused, {scanner.looked:,} bytes looked at, findings: {scanner.findings}")
    assert scanner.findings == []


def test_a_start_with_a_bad_config_does_not_show_the_key(tmp_path: Path) -> None:
    canary = Canary("literal")
    scanner = Scanner([canary])
    for place, text in _wrong_places(canary.key).items():
        with pytest.raises(ConfigErrors) as refused:
            load(text, {}, file="config.yaml", read_file=reader(str(tmp_path)))
        scanner.look(place, f"{refused.value} {refused.value!r} {refused.getrepr(style='short')}")
    assert scanner.findings == []


def test_a_snapshot_prints_without_its_keys(tmp_path: Path, provider: Provider) -> None:
    canaries = {name: Canary(name) for name in NAMES}
    (tmp_path / "secret").write_text(canaries["file"].key)
    text = _config(tmp_path, provider, canaries)
    snapshot = load(text, {"CANARY_KEY": canaries["environment"].key}, read_file=reader(str(tmp_path)))
    scanner = Scanner(list(canaries.values()))
    for route in snapshot.routes.values():
        assert route.upstreams[0].key is not None
        assert route.upstreams[0].key.reveal() == canaries[route.name].key
        scanner.look(route.name, f"{route!r} {route} {route.upstreams[0].key!r} {route.upstreams[0].key:>80}")
    scanner.look("the snapshot", f"{snapshot!r} {snapshot}")
    assert scanner.findings == []


def test_the_scanner_finds_a_planted_key_wherever_it_is(tmp_path: Path) -> None:
    canary = Canary("literal")
    for place in ("log", "metric", "file", "name", "symlink"):
        scanner, folder = Scanner([canary]), tmp_path / place
        folder.mkdir()
        match place:
            case "log":
                scanner.look("the log", f"2026-01-01 WARNING provider answered 401: {canary.key}\n")
            case "metric":
                scanner.look("the metrics", f'sidecar_requests_total{{route="{canary.key}"}} 1.0\n')
            case "file":
                (folder / "worker.db").write_bytes(b"\0\1" + canary.key.encode() + b"\0")
            case "name":
                (folder / canary.key).touch()
            case "symlink":
                (folder / "link").symlink_to(canary.key)
        scanner.look_into(folder)
        assert any(finding.startswith("literal: the key in") for finding in scanner.findings), place
    for what, needle in canary.needles().items():
        scanner = Scanner([canary])
        scanner.look("somewhere", b"..." + needle + b"...")
        assert f"literal: {what} in somewhere" in scanner.findings
    scanner = Scanner([canary])
    scanner.look("an echo", canary.echoes())
    assert len(scanner.findings) >= 8
    scanner = Scanner([canary])
    scanner.look("a harmless text", "nothing of the kind " * 1000)
    assert scanner.findings == []
