"""A web page of another origin calls the gateway from a real browser, and no longer may once the config says so."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Error, Page, sync_playwright

from tests.processes import wait_until
from tests.provider import Provider
from tests.stack.stack import Stack, config_for

pytestmark = [pytest.mark.slow, pytest.mark.needs("chromium"), pytest.mark.timeout(300)]
CALL = """async ([url, key, stream]) => {
  const answer = await fetch(url + '/v1/chat/completions', {
    method: 'POST',
    headers: {'authorization': 'Bearer ' + key, 'content-type': 'application/json', 'x-stainless-lang': 'js'},
    body: JSON.stringify({model: 'chat', stream, messages: [{role: 'user', content: 'hello'}]}),
  })
  return [answer.status, await answer.text(), answer.headers.get('x-request-id')]
}"""


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>app</title>")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def app() -> Iterator[str]:
    """The origin of a page that somebody else serves."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def page(app: str) -> Iterator[Page]:
    with sync_playwright() as programs:
        browser = programs.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        opened = browser.new_context(ignore_https_errors=True).new_page()
        opened.goto(app)
        yield opened
        browser.close()


@pytest.mark.parametrize("front", ["nginx", "envoy"])
def test_a_page_calls_streams_reads_refusals_and_is_stopped(
    front: str, app: str, page: Page, tmp_path: Path, provider: Provider
) -> None:
    def blocked(stack: Stack) -> bool:
        try:
            page.evaluate(CALL, [stack.url, stack.api_key, False])
        except Error as error:
            assert "Failed to fetch" in error.message
            return True
        return False

    config = config_for(provider)
    with Stack(tmp_path, config, front=front) as stack:
        assert blocked(stack)
        stack.config.write_text(config + f"cors: {{origins: ['{app}']}}\n")
        wait_until(lambda: not blocked(stack), 30)
        status, text, request_id = page.evaluate(CALL, [stack.url, stack.api_key, False])
        assert (status, "echo: hello" in text, bool(request_id)) == (200, True, True)
        status, text, _ = page.evaluate(CALL, [stack.url, stack.api_key, True])
        assert (status, text.rstrip().endswith("data: [DONE]")) == (200, True)
        status, text, _ = page.evaluate(CALL, [stack.url, "wrong", False])
        assert (status, "invalid_api_key" in text) == (401, True)
        stack.config.write_text(config)
        wait_until(lambda: blocked(stack), 30)
