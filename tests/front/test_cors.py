"""Calls from web pages of other origins: preflights without credentials, answers that a page may read, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest

from sidecar.front.cors import METHODS, called_by_pages
from sidecar.front.programs import Program
from sidecar.openapi.bindings import bindings_of, service
from tests.front.conftest import Front, Running, hang_up
from tests.front.double import Core

APP = "https://app.example.com"
ORIGINS = (APP, "https://*.example.org", "http://localhost:*", "chrome-extension://abcdef", "http://[::1]:3000")
CHAT = "/v1/chat/completions"
HEADERS = "authorization, content-type, x-stainless-lang"


def _preflight(origin: str, verb: str = "POST") -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": verb,
        "access-control-request-headers": HEADERS,
    }


def _cors(answer: httpx.Response) -> dict[str, str]:
    return {
        name: value for name, value in answer.headers.items() if name.startswith("access-control-") or name == "vary"
    }


@asynccontextmanager
async def _open(running: Running, program: Program, *origins: str) -> AsyncIterator[tuple[Front, Core]]:
    async with running(program, cors_origins=origins) as (front, core):
        yield front, core


@pytest.mark.parametrize("version", [1, 2])
async def test_a_page_that_may_call_is_told_so_without_credentials_and_reads_its_answer(
    running: Running, program: Program, version: int
) -> None:
    async with _open(running, program, *ORIGINS) as (front, core), front.http(version) as http:
        for origin in (APP, "https://a.b.example.org", "http://localhost:5173", "http://localhost", *ORIGINS[3:]):
            reply = await http.options(CHAT, headers=_preflight(origin))
            assert (reply.status_code, reply.content) == (204, b""), origin
            assert _cors(reply) == {
                "access-control-allow-origin": origin,
                "access-control-allow-methods": "GET, POST, DELETE",
                "access-control-allow-headers": HEADERS,
                "access-control-max-age": "7200",
                "vary": "Origin",
            }
            answer = await http.post(CHAT, json={}, headers={**front.bearer, "origin": origin})
            assert answer.status_code == 200
            assert _cors(answer) == {
                "access-control-allow-origin": origin,
                "access-control-expose-headers": "*",
                "vary": "Origin",
            }
        assert {call.rpc for call in core.calls} == {"ChatCompletions"}, "a preflight is never passed on"


async def test_a_refusal_can_be_read_by_a_page_too(running: Running, program: Program) -> None:
    async with _open(running, program, APP) as (front, _), front.http(2) as http:
        page = {"origin": APP}
        refused = {
            401: await http.post(CHAT, json={}, headers=page),
            405: await http.get(CHAT, headers={**page, **front.basic}),
            415: await http.post(CHAT, content=b"x", headers={**page, **front.basic}),
        }
        for status, answer in refused.items():
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == APP, status
            assert answer.json()["error"]["message"]
        too_large = await _head_of_too_large(front)
        assert too_large.startswith("http/1.1 413")
        assert f"access-control-allow-origin: {APP}" in too_large


async def _head_of_too_large(front: Front) -> str:
    """Of the answer to a call whose body is not sent, because it is said to be too large."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", front.port, ssl=front.tls(), server_hostname="localhost"
    )
    lines = [f"POST {CHAT} HTTP/1.1", "host: localhost", f"origin: {APP}", "content-type: application/json"]
    lines += ["content-length: 99000000", f"authorization: {front.basic['authorization']}"]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    await hang_up(writer)
    return head.decode().lower()


async def test_other_pages_other_paths_and_other_methods_are_told_nothing(running: Running, program: Program) -> None:
    others = (
        "https://evil.example",
        "http://app.example.com",
        f"{APP}:8443",
        f"{APP}.evil.example",
        "https://example.org",
        "https://evilexample.org",
        "https://a.example.org:444",
        "https://x.localhost:1",
        "null",
        "",
    )
    async with _open(running, program, *ORIGINS) as (front, core), front.http() as http:
        for origin in others:
            reply = await http.options(CHAT, headers=_preflight(origin))
            assert (reply.status_code, _cors(reply)) == (401, {}), origin
            answer = await http.post(CHAT, json={}, headers={**front.basic, "origin": origin})
            assert (answer.status_code, _cors(answer)) == (200, {}), origin
        core.calls.clear()
        for path in ("/docs", "/openapi.json", "/api/2.0/gateway/routes/", "/api/2.0/endpoints/", "/nothing", "/"):
            reply = await http.options(path, headers=_preflight(APP, "GET"))
            assert (reply.status_code, _cors(reply)) == (401, {}), path
            answer = await http.get(path, headers={**front.basic, "origin": APP})
            assert _cors(answer) == {}, path
        for verb in ("DELETE", "PUT", "GET", "post", ""):
            reply = await http.options(CHAT, headers=_preflight(APP, verb))
            assert reply.status_code == 401, verb
        plain = await http.options(CHAT, headers={"origin": APP})
        assert plain.status_code == 401, "not a preflight"
        assert not [call for call in core.calls if call.rpc == "ChatCompletions"]


async def test_a_star_is_every_page(running: Running, program: Program) -> None:
    async with _open(running, program, "*") as (front, _), front.http() as http:
        reply = await http.options("/v1/models/chat", headers=_preflight("https://anywhere.example", "GET"))
        assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (204, "*")
        answer = await http.get("/v1/models?x=1", headers={**front.basic, "origin": "https://anywhere.example"})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (400, "*")
        assert _cors(await http.get("/v1/models", headers=front.basic)) == {}


async def test_without_origins_there_is_no_word_of_it(front: Front, core: Core) -> None:
    async with front.http() as http:
        reply = await http.options(CHAT, headers=_preflight(APP))
        assert (reply.status_code, _cors(reply)) == (401, {})
        answer = await http.post(CHAT, json={}, headers={**front.basic, "origin": APP})
        assert (answer.status_code, _cors(answer)) == (200, {})


async def test_a_running_front_takes_other_origins(running: Running, program: Program) -> None:
    async with _open(running, program) as (front, _), front.http() as http:
        settings = replace(front.settings, cors_origins=(APP,))
        await asyncio.to_thread(program.take_cors, settings, front.folder)
        if program.reload_signal is not None:
            front.process.send_signal(program.reload_signal)
        async with asyncio.timeout(30):
            while (await http.options(CHAT, headers=_preflight(APP))).status_code != 204:
                await asyncio.sleep(0.02)


def test_pages_call_models_and_never_what_manages_the_gateway() -> None:
    managing = {(each.verb.upper(), each.path) for each in bindings_of(service())} - set(called_by_pages())
    assert {path.split("/")[1] for _, path in managing} == {"", "api", "docs", "home", "openapi.json", "health"}
    assert {verb for verb, _ in called_by_pages()} <= set(METHODS)
