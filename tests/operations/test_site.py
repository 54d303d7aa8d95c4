"""`make site`: built without a warning, and read as files, without a network, in a real browser: links, search, both colours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.processes import REPOSITORY
from tools.site_links import inside

ARTEFACTS = REPOSITORY / "build" / "artefacts"
WITHIN_MS = 60_000


@pytest.mark.parametrize(
    ("page", "markdown", "expected"),
    [
        ("reference/deploy.md", "[rules](../../deploy/prometheus)", "rules (`deploy/prometheus`)"),
        ("guides/call-it.md", "[x](../../proto/sidecar/v1/a.proto)", "x (`proto/sidecar/v1/a.proto`)"),
        (
            "reference/config.md",
            "[`config.schema.json`](config.schema.json)",
            "`config.schema.json` (`docs/reference/config.schema.json`)",
        ),
        ("guides/team.md", "[limits](../concepts/limits.md#x) [top](#top) [web](https://a.example)", None),
    ],
)
def test_links_that_lead_out_of_the_pages_become_words(page: str, markdown: str, expected: str | None) -> None:
    assert inside(markdown, page) == (markdown if expected is None else expected)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as programs:
        made = programs.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield made
        made.close()


def opened(browser: Browser, file: Path, width: int, scheme: str) -> tuple[Page, list[str]]:
    """The page, and whatever it asks of the network."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    context.set_default_timeout(WITHIN_MS)
    page = context.new_page()
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.goto(file.as_uri())
    return page, urls


@pytest.mark.slow
@pytest.mark.needs("chromium")
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("width", "scheme"), [(375, "dark"), (1600, "light")])
def test_the_site_is_read_as_files_without_a_network(site: Path, browser: Browser, width: int, scheme: str) -> None:
    for name in ("index.html", "guides/first-route.html", "reference/config.html"):
        page, urls = opened(browser, site / name, width, scheme)
        page.wait_for_load_state("networkidle")
        assert [url for url in urls if not url.startswith(("file:", "data:", "blob:", "about:"))] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than the screen"
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=ARTEFACTS / f"site-{Path(name).stem}-{width}-{scheme}.png")
        page.context.close()


@pytest.mark.slow
@pytest.mark.needs("chromium")
@pytest.mark.timeout(400)
def test_search_finds_a_page_and_leads_to_it(site: Path, browser: Browser) -> None:
    page, _ = opened(browser, site / "index.html", 1600, "light")
    page.click(".md-search__input")
    page.keyboard.type("rotate key")
    page.locator(".md-search-result__link", has_text="Rotate a key").first.click()
    page.wait_for_url("**/guides/rotate-a-key.html*")
    assert page.locator("h1").inner_text().startswith("Rotate a key")
    page.context.close()
