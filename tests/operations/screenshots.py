"""`python -m tests.operations.screenshots`: takes the pictures of docs/images anew, of a gateway with something to see."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.operations.home_stack import ADMIN, ALICE, home

IMAGES = Path(__file__).parents[2] / "docs" / "images"
# File, user, width, height, colours, where the page is scrolled to.
PICTURES = (
    ("home-light.png", ADMIN, 1280, 900, "light", "#routes"),
    ("home-gateway.png", ADMIN, 1280, 900, "light", "#gateway"),
    ("home-dark-narrow.png", ALICE, 375, 812, "dark", "#limits"),
)


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, home(Path(folder)) as served, sync_playwright() as programs:
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
