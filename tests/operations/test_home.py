"""The home page in a real browser, on both fronts: what each user sees, an answer that appears as it comes, lines that run when
pasted, and names that stay names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.messages.environments import python_sdk
from tests.operations.home_stack import ADMIN, ALICE, HOSTILE_MODEL, HOSTILE_PROVIDER_TEXT, Home, home
from tests.provider import Call, Gate, Reply, default_reply, error_reply
from tests.stack.balancer import Balancer

pytestmark = [pytest.mark.slow, pytest.mark.needs("chromium"), pytest.mark.timeout(300)]
# Kept after the run, for people to look at.
ARTEFACTS = Path(__file__).parents[2] / "build" / "artefacts"
WITHIN_MS = 60_000
PROGRAM_S = 60
NARROW, WIDE = 375, 1600
Opened = Callable[..., Page]


@pytest.fixture(scope="module", params=["nginx", "envoy"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with home(tmp_path_factory.mktemp("home"), request.param) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as programs:
        yield programs.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])


@pytest.fixture
def opened(served: Home, browser: Browser) -> Iterator[Opened]:
    """A page in a browser that was given a user's name and password; it has neither errors nor forbidden requests."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []
    hosts: set[str] = set()

    def open_as(user: str, *, width: int = WIDE, scheme: str = "light", base: str = "") -> Page:
        context = browser.new_context(
            base_url=base or served.stack.url,
            ignore_https_errors=True,  # the private CA; that it is right is other tests' matter
            http_credentials={"username": user, "password": served.passwords[user]},
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        context.set_default_timeout(WITHIN_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if _is_wrong(message) else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda sent: hosts.add(urlsplit(sent.url).netloc))
        page.goto(f"{base}/" if base else "/")
        return page

    yield open_as
    for context in contexts:
        context.close()
    assert wrong == [], "nothing that the page's own policy forbids"
    assert len(hosts) <= 1, "usable offline"


def _is_wrong(message: ConsoleMessage) -> bool:
    """A call that the gateway refuses is an error in the console, too."""
    return message.type in ("error", "warning") and "server responded with a status of" not in message.text


def test_a_user_sees_the_routes_it_may_call_and_nothing_of_others(opened: Opened) -> None:
    page = opened(ALICE)
    rows = page.locator("#routes tbody th code").all_inner_texts()
    assert rows == ["chat", "team/assistant", "broken", "go-on", "vectors", "openai/*"]
    assert "alice@example.com" in page.locator("header").first.inner_text()
    whole = page.content()
    for hidden in ("secret-project", "sim-secret", "operators", "Connection refused", "shop"):
        assert hidden not in whole, hidden
    assert page.locator("#gateway").count() == 0
    assert "ejected" in page.locator("#routes tr", has_text="broken").inner_text()


def test_limits_budgets_and_usage_are_the_users_own(opened: Opened) -> None:
    page = opened(ALICE)
    limits = page.locator("#limits").inner_text()
    assert "1,000 requests per day" in limits
    assert "600 requests per minute" in limits
    assert "$300.00 per month" in limits
    assert "resets at" in limits
    page.locator("#usage summary", has_text="By route").click()
    assert page.locator("#usage details[open] tbody th").all_inner_texts()[0] in ("chat", "team/assistant", "vectors")
    assert page.locator("#usage svg").count() == 3


def test_an_admin_sees_everybody_and_what_is_wrong(opened: Opened) -> None:
    gateway = opened(ADMIN).locator("#gateway")
    text = gateway.inner_text()
    assert "search-team" in text
    assert "<b>shop</b>" in text, "as it is called"
    assert "The file on the disk is the one in use." in text
    assert text.count("serving") == 2
    assert "LLM gateway sidecar" in text
    broken = gateway.locator("tr", has_text="broken").inner_text()
    assert "ejected by" in broken
    assert "upstream_unavailable" in broken
    assert "Connection refused" in broken


def test_a_config_that_is_refused_is_named_with_its_line(served: Home, opened: Opened) -> None:
    good = served.stack.config.read_text()
    served.stack.config.write_text(good.replace("llm/v1/embeddings", "llm/v1/nonsense"))
    try:
        page = opened(ADMIN)
        found = page.locator("#gateway .problems", has_text="nonsense")
        while not found.count():
            page.reload()
        assert f"{served.stack.config}:" in found.first.inner_text()
    finally:
        served.stack.config.write_text(good)


def test_the_answer_appears_as_it_comes_and_can_be_stopped(served: Home, opened: Opened) -> None:
    gates: list[Gate] = []

    def halting(call: Call) -> Reply:
        reply = default_reply(call, call.json)
        gate = served.provider.gate("half")
        gates.append(gate)
        return replace(reply, parts=(*reply.parts[:3], gate, *reply.parts[3:]))

    page = opened(ALICE)
    page.locator("#try-route").select_option("chat")
    page.get_by_label("Your message").fill("one two three four")
    served.provider.script = halting
    try:
        page.get_by_role("button", name="Send").click()
        answer = page.locator("#try-answer")
        page.wait_for_function("() => document.getElementById('try-answer').textContent.length > 0")
        before = answer.inner_text()
        assert not before.endswith("four"), "it is not complete yet"
        assert page.get_by_role("status").inner_text() == "The answer is coming."
        gates[0].open()
        page.get_by_role("status").filter(has_text="Done in").wait_for()
        assert answer.inner_text() == "echo: one two three four"
    finally:
        served.provider.script = None
    assert "tokens in" in page.get_by_role("status").inner_text()


def test_a_refusal_is_shown_in_words(opened: Opened) -> None:
    page = opened(ALICE)
    page.locator("#try-route").select_option("broken")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("status").filter(has_text="The call failed.").wait_for()
    assert page.locator("#try-answer.failed").inner_text().startswith("503: ")


def test_what_a_provider_says_is_text(served: Home, opened: Opened) -> None:
    served.provider.script = lambda call: error_reply(call, 500, HOSTILE_PROVIDER_TEXT)
    try:
        page = opened(ADMIN)
        page.locator("#try-route").select_option("secret-project")
        page.get_by_role("button", name="Send").click()
        page.get_by_role("status").filter(has_text="The call failed.").wait_for()
        failed = page.locator("#gateway tr", has_text="It answered 500")
        while not failed.count():  # workers report once a second
            page.reload()
        assert HOSTILE_PROVIDER_TEXT in failed.first.inner_text()
        assert page.title() == "LLM gateway"
    finally:
        served.provider.script = None


def test_names_stay_names(opened: Opened) -> None:
    page = opened(ADMIN)
    assert HOSTILE_MODEL in page.locator("#routes").inner_text()
    assert page.locator("img").count() == 0
    assert page.title() == "LLM gateway"


def test_everything_can_be_reached_and_done_with_the_keyboard(opened: Opened) -> None:
    page = opened(ALICE)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to your routes"
    page.keyboard.press("Enter")
    seen = []
    for _ in range(25):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
        if seen[-1] == "try-prompt":
            page.keyboard.press("Control+Enter")
            page.get_by_role("status").filter(has_text="Done in").wait_for()
        if seen[-1] == "door-chat-curl":
            page.keyboard.press("ArrowRight")
            assert page.locator("[data-door=openai]").first.is_visible()
            break
    assert seen[-1] == "door-chat-curl"
    assert {"try-route", "try-prompt", "try-send", "call-route"} <= {*seen}


def test_a_screen_reader_finds_landmarks_labels_and_headings(opened: Opened) -> None:
    page = opened(ADMIN)
    for role in ("banner", "navigation", "main", "contentinfo"):
        assert page.get_by_role(role).count() == 1, role
    for region in ("Your routes", "Try it", "Call it from your program", "Your limits", "The gateway"):
        page.get_by_role("region", name=region, exact=True).wait_for()
    unlabelled = page.evaluate(
        "[...document.querySelectorAll('select, textarea, input')].filter((each) => !each.labels.length).length"
    )
    assert unlabelled == 0
    nameless = page.evaluate(
        "[...document.querySelectorAll('svg')].filter((each) => !each.getAttribute('aria-label')).length"
    )
    assert nameless == 0
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map((each) => +each.tagName[1])")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


# The contrast of every text with what is behind it, as WCAG 2 defines it; [text, ratio] of what is below 4.5.
_LOW_CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (each) => {
    for (; each; each = each.parentElement) {
      const colour = parse(getComputedStyle(each).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const each of document.querySelectorAll("body *")) {
    const own = [...each.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !each.checkVisibility() || each.disabled || each.closest("svg, .skip, noscript")) continue;
    const [a, b] = [light(parse(getComputedStyle(each).color)), light(ground(each))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) low.push([each.textContent.slice(0, 40), ratio]);
  }
  return low;
}"""


@pytest.mark.parametrize("user", [ADMIN, ALICE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_it_fits_wide_and_narrow_screens_in_both_colours(
    opened: Opened, served: Home, user: str, scheme: str, width: int
) -> None:
    page = opened(user, width=width, scheme=scheme)
    page.get_by_role("button", name="Send").click()
    page.get_by_role("status").filter(has_text="Done in").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"
    assert page.evaluate(_LOW_CONTRAST) == []
    page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    name = f"home-{user.partition('@')[0]}-{scheme}-{width}-{served.stack.front}.png"
    page.screenshot(path=ARTEFACTS / name, full_page=True)


def test_low_contrast_would_be_found(opened: Opened) -> None:
    page = opened(ALICE)
    page.evaluate("document.querySelector('.who').setAttribute('class', 'who')")
    page.evaluate("for (const each of document.querySelectorAll('.who')) each.style.color = '#aaaaaa'")
    assert page.evaluate(_LOW_CONTRAST)


_PROGRAMS = [("chat", "curl"), ("chat", "openai"), ("chat", "responses"), ("chat", "anthropic"), ("chat", "grpc")]
_PROGRAMS += [("go-on", "curl"), ("go-on", "openai"), ("go-on", "grpc")]
_PROGRAMS += [("vectors", "curl"), ("vectors", "openai"), ("vectors", "grpc")]


def test_the_lines_run_when_pasted(served: Home, opened: Opened, tmp_path: Path) -> None:
    page = opened(ALICE)
    with page.expect_download() as saving:
        page.get_by_role("link", name="Save ca.pem").click()
    saving.value.save_as(tmp_path / "ca.pem")
    running = []
    for route, door in _PROGRAMS:
        page.locator("#call-route").select_option(route)
        panel = page.locator(".doors:visible")
        panel.locator(f"label[for$=-{door}]").click()
        lines = panel.locator(".lines:visible pre").inner_text()
        python = str(python_sdk().python) if door == "anthropic" else sys.executable
        curl = ["sh", "-c", lines.replace("curl ", "curl -sS --fail ", 1)]
        env = {"PATH": os.environ["PATH"], "SIDECAR_API_KEY": served.key(ALICE), "PYTHONPATH": os.getcwd()}
        command = curl if door == "curl" else [python, "-c", lines]
        started = subprocess.Popen(
            command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        running.append((lines, started))
    for lines, process in running:
        printed, complaint = process.communicate(timeout=PROGRAM_S)
        assert process.returncode == 0, (lines, complaint)
        assert printed.strip(), lines


def test_below_a_path_prefix_it_works_and_names_the_address_that_the_browser_sees(served: Home, opened: Opened) -> None:
    with Balancer(served.plain_port, "/team/llm") as balancer:
        page = opened(ALICE, base=balancer.url)
        page.get_by_role("button", name="Send").click()
        page.get_by_role("status").filter(has_text="Done in").wait_for()
        lines = page.locator("#call .lines:visible pre").inner_text()
        assert f"curl {balancer.url}/v1/chat/completions" in lines
        assert "ca.pem" not in lines, "the balancer has a certificate of its own, or none"


def test_strangers_get_nothing(served: Home) -> None:
    with served.stack.http(key=None) as stranger:
        for path in ("/", "/home/home.js", "/home/home.css", "/home/ca.pem"):
            assert stranger.get(path).status_code == 401, path
    with served.stack.http(key=served.key(ALICE)) as http:
        root = http.get("/")
        assert root.headers["content-security-policy"].startswith(
            "default-src 'none'; script-src 'self'; style-src 'self';"
        )
        assert root.headers["cache-control"] == "no-store"
        assert http.get("/home/nothing").status_code == 404
        assert http.get("/home/ca.pem").text == served.stack.ca.read_text()
        assert http.head("/").status_code == 200
