"""`python -m tests.operations.screenshots`: takes the pictures of docs/images, of a gateway as a company would run it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.operations.home_stack import ADMIN, ALICE, Scene, home
from tests.provider import Provider

IMAGES = Path(__file__).parents[2] / "docs" / "images"
# File, user, width, height, colours, where the page is scrolled to.
PICTURES = (
    ("home-light.png", ADMIN, 1280, 900, "light", "#routes"),
    ("home-usage.png", ALICE, 1280, 780, "light", "#limits"),
    ("home-gateway.png", ADMIN, 1280, 900, "light", "#gateway"),
    ("home-dark-narrow.png", ALICE, 375, 812, "dark", "#limits"),
)


def _config(provider: Provider, closed: int) -> str:
    openai = f"{{openai_api_key: $KEY, openai_api_base: '{provider.base_url}'}}"
    anthropic = f"{{anthropic_api_key: $KEY, anthropic_api_base: '{provider.root_url}'}}"
    return f"""
routes:
  - name: chat
    aliases: [default]
    route_type: llm/v1/chat
    model: {{provider: openai, name: gpt-4o-mini, config: {openai}}}
    fallbacks: [{{provider: anthropic, name: claude-haiku-4-5, config: {anthropic}}}]
    limits: [{{requests: 600, per: minute}}, {{tokens: 2000000, per: day, each: consumer}}, {{concurrent: 32}}]
    price: {{input: 0.15, output: 0.6}}
  - name: coder
    route_type: llm/v1/chat
    model: {{provider: anthropic, name: claude-sonnet-4-5, config: {anthropic}}}
    price: {{input: 3, output: 15}}
  - name: reports
    route_type: llm/v1/chat
    model:
      provider: mistral
      name: mistral-large-latest
      config: {{mistral_api_key: $KEY, base_url: 'http://127.0.0.1:{closed}/v1'}}
    price: {{input: 2, output: 6}}
    breaker: {{consecutive_failures: 1, open: 1h}}
    retries: {{budget: 0}}
  - name: search/embeddings
    route_type: llm/v1/embeddings
    model: {{provider: openai, name: text-embedding-3-small, config: {openai}}}
    price: {{input: 0.02, output: 0}}
  - name: openai/*
    route_type: llm/v1/chat
    model: {{provider: openai, name: "*", config: {openai}}}
    price: {{input: 2.5, output: 10}}
consumers:
  - name: search-team
    users: ["{ALICE}"]
    limits: [{{requests: 1000, per: day}}]
    budgets: [{{dollars: 300, per: month}}, {{dollars: 12, per: day}}]
  - {{name: shop, users: ["shop-*"]}}
  - {{name: operators, users: [{ADMIN}], roles: [admin]}}
"""


_SPEND = ((("search-team", 40), ("shop", 120), ("operators", 8)), ("chat", "coder", "search/embeddings"))


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    os.environ["KEY"] = "of-the-pictures-0123456789"
    scene = Scene(_config, "reports", _SPEND)
    with (
        tempfile.TemporaryDirectory() as folder,
        home(Path(folder), scene=scene) as served,
        sync_playwright() as programs,
    ):
        browser = programs.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, user, width, height, scheme, part in PICTURES:
            context = browser.new_context(
                base_url=served.stack.url,
                ignore_https_errors=True,
                http_credentials={"username": user, "password": served.passwords[user]},
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
                reduced_motion="reduce",
            )
            page = context.new_page()
            page.goto("/")
            page.get_by_role("button", name="Send").click()
            page.get_by_role("status").filter(has_text="Done in").wait_for()
            page.evaluate("document.activeElement.blur()")
            page.evaluate(
                f"document.querySelector('{part}').scrollIntoView()" if part != "#routes" else "scrollTo(0, 0)"
            )
            page.screenshot(path=IMAGES / name)
            context.close()


if __name__ == "__main__":
    main()
