"""`/docs` in a real browser: it opens, a call can be tried, and it talks to nobody but the gateway."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import ConsoleMessage, Page, Request, sync_playwright

from tests.processes import free_port
from tests.provider import Provider
from tests.stack.balancer import Balancer
from tests.stack.stack import Stack, config_for

pytestmark = [pytest.mark.slow, pytest.mark.needs("chromium"), pytest.mark.timeout(300)]
# Kept after the run, for people to look at.
ARTEFACTS = Path(__file__).parents[2] / "build" / "artefacts"
WITHIN_MS = 60_000
PLAIN_PORT = free_port()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    options = ("--http", f"127.0.0.1:{PLAIN_PORT}", "--trusted-proxy", "127.0.0.1")
    with (
        Provider() as provider,
        Stack(tmp_path_factory.mktemp("docs"), config_for(provider), options=options) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def page(stack: Stack) -> Iterator[Page]:
    """A browser that was given the user's name and password, as a person would type them."""
    with sync_playwright() as programs:
        browser = programs.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        context = browser.new_context(
            base_url=stack.url,
            ignore_https_errors=True,  # the private CA; that it is right is other tests' matter
            http_credentials={"username": stack.user, "password": stack.password},
            viewport={"width": 1280, "height": 1400},
        )
        context.set_default_timeout(WITHIN_MS)
        yield context.new_page()
        browser.close()


def test_a_person_opens_the_page_call_a_route_and_sees_the_answer(stack: Stack, page: Page) -> None:
    messages: list[str] = []
    urls: list[str] = []

    def record(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            messages.append(message.text)

    def sees(request: Request) -> None:
        urls.append(request.url)

    page.on("console", record)
    page.on("request", sees)
    page.goto("/docs")
    _call_a_route(page)
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTEFACTS / "docs.png", full_page=True)
    hosts = {urlsplit(url).netloc for url in urls if not url.startswith("data:")}
    assert hosts == {urlsplit(stack.url).netloc}, "usable offline"
    assert messages == [], "nothing that the page's own policy forbids"


def _call_a_route(page: Page) -> str:
    """By the first form of the page; the line for curl that it shows."""
    operation = page.locator(".opblock").first
    assert operation.locator(".opblock-summary-path").inner_text().replace("\u200b", "") == "/v1/chat/completions"
    operation.locator(".opblock-summary").click()
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table td.response-col_description pre").first
    answer.wait_for()
    assert operation.locator(".live-responses-table td.response-col_status").last.inner_text().startswith("200")
    body = json.loads(answer.inner_text())
    assert body["choices"][0]["message"]["content"].startswith("echo: Say hello.")
    return operation.locator(".curl-command pre").inner_text()


def test_the_line_for_curl_works_when_it_is_pasted(stack: Stack, page: Page, tmp_path: Path) -> None:
    page.goto("/docs")
    line = _call_a_route(page)
    assert "--cacert ca.pem" in line
    shutil.copy(stack.ca, tmp_path / "ca.pem")
    env = {"PATH": os.environ["PATH"], "SIDECAR_API_KEY": stack.api_key}
    done = subprocess.run(
        ["sh", "-c", line], cwd=tmp_path, env=env, capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout)["choices"][0]["message"]["content"].startswith("echo: Say hello.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_dark_where_everything_is(page: Page, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto("/docs")
    _call_a_route(page)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(20, 24, 31)") is (scheme == "dark")
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"docs-{scheme}.png")
    page.emulate_media(color_scheme="light")


def test_the_page_and_the_way_to_it_work_below_a_path_prefix(page: Page) -> None:
    with Balancer(PLAIN_PORT, "/team/llm") as balancer:
        page.goto(f"{balancer.url}/")
        page.get_by_role("link", name="API reference").click()
        page.wait_for_url(f"{balancer.url}/docs")
        _call_a_route(page)


def test_the_policy_forbids_what_the_page_does_not_need(page: Page) -> None:
    """The positive control of the test above: a browser does hear of it."""
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.goto("/docs")
    page.evaluate("() => { const s = document.createElement('script'); s.textContent = '1'; document.body.append(s); }")
    page.wait_for_function("() => true")
    assert any("Content Security Policy" in text for text in messages)


def test_the_page_is_for_callers_with_credentials_and_shows_what_they_may_call(stack: Stack) -> None:
    with stack.http(key=None) as stranger:
        for path in ("/", "/docs", "/docs/swagger-ui.css", "/openapi.json"):
            assert stranger.get(path).status_code == 401, path
    with stack.http() as http:
        assert http.get("/docs/nothing").status_code == 404
        script = http.get("/docs/swagger-ui-bundle.js")
        assert script.headers["content-type"] == "text/javascript; charset=utf-8"
        assert len(script.content) > 1_000_000
        shown = http.get("/openapi.json").json()["paths"]
        listed = http.get("/v1/models").json()["data"]
        body = shown["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]
        assert {*body["examples"]} < {model["id"] for model in listed}
        assert {"chat", "claude"} <= {*body["examples"]}
