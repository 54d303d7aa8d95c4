"""A gateway with something to see on its home page: two users, limits, a month of spend, an upstream that is ejected, and names
that would be markup if a page let them."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from sidecar.identity import users
from sidecar.spend.archive import FILE_NAME, Archive
from sidecar.spend.calendar import today_at
from sidecar.spend.ledger import Charge, Line
from tests.processes import free_port
from tests.provider import Provider
from tests.stack.stack import Stack

ADMIN, ALICE = "root", "alice@example.com"
HOSTILE_MODEL = "<img src=x onerror=\"document.title='owned'\">"
HOSTILE_PROVIDER_TEXT = "</td><script>document.title='owned'</script>"
_DAYS = 30


@dataclass(frozen=True, slots=True)
class Home:
    """A running gateway and the passwords of its users."""

    stack: Stack
    provider: Provider
    passwords: dict[str, str]
    plain_port: int

    def key(self, user: str) -> str:
        return users.api_key(user, self.passwords[user])


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is to see. `config` takes the provider and the port of a provider that is down; calls to the route `failing`
    fail. `spend` has consumers with their calls on a busy day, and the routes that they call."""

    config: Callable[[Provider, int], str]
    failing: str
    spend: tuple[tuple[tuple[str, int], ...], tuple[str, ...]]


@contextmanager
def home(folder: Path, front: str = "nginx", options: Sequence[str] = (), scene: Scene | None = None) -> Iterator[Home]:
    """Serves inside the block. Its first calls to the failing route have failed."""
    scene = scene or HOSTILE
    state = folder / "state"
    state.mkdir(mode=0o700)
    passwords = {name: users.add_user(state / "users", name) for name in (ADMIN, ALICE)}
    _spend(state / FILE_NAME, *scene.spend)
    port = free_port()
    plain = ("--http", f"127.0.0.1:{port}", "--trusted-proxy", "127.0.0.1")
    with (
        Provider() as provider,
        Stack(folder, scene.config(provider, free_port()), front=front, options=(*plain, *options)) as stack,
    ):
        found = Home(stack, provider, passwords, port)
        _fail(found, scene.failing)
        yield found


def _config(provider: Provider, closed: int) -> str:
    def model(name: str, base_url: str = provider.base_url) -> str:
        return (
            f"{{provider: openai-compatible, name: {json.dumps(name)}, config: {{base_url: '{base_url}', api_key: k}}}}"
        )

    return f"""
routes:
  - name: chat
    route_type: llm/v1/chat
    model: {model("sim-chat-large")}
    aliases: [gpt-4o]
    limits: [{{requests: 600, per: minute}}, {{tokens: 2000000, per: day, each: consumer}}, {{concurrent: 32}}]
  - name: team/assistant
    route_type: llm/v1/chat
    model: {model("sim-chat-small")}
    fallbacks:
      - {{name: 'sim-fallback', provider: anthropic, config: {{anthropic_api_base: '{provider.root_url}', anthropic_api_key: k}}}}
  - name: broken
    route_type: llm/v1/chat
    model: {model(HOSTILE_MODEL, f"http://127.0.0.1:{closed}/v1")}
    breaker: {{consecutive_failures: 1, open: 1h}}
    retries: {{budget: 0}}
  - name: go-on
    route_type: llm/v1/completions
    model: {model("sim-completions")}
  - name: vectors
    route_type: llm/v1/embeddings
    model: {model("sim-embeddings")}
  - name: openai/*
    route_type: llm/v1/chat
    model: {model("*")}
  - name: secret-project
    route_type: llm/v1/chat
    model: {model("sim-secret")}
consumers:
  - name: search-team
    users: ["{ALICE}"]
    deny: [secret-project]
    limits: [{{requests: 1000, per: day}}]
    budgets: [{{dollars: 300, per: month}}, {{dollars: 12, per: day}}]
  - {{name: operators, users: [{ADMIN}], roles: [admin]}}
"""


def _spend(path: Path, consumers: Sequence[tuple[str, int]], routes: Sequence[str]) -> None:
    """A month."""
    chance = random.Random(7)
    today = today_at(time.time()).day
    lines = []
    for back in range(_DAYS):
        weekend = (today - back) % 7 in (2, 3)
        for consumer, size in consumers:
            for route in routes:
                calls = int(size * chance.uniform(0.2, 1.0) * (0.15 if weekend else 1.0))
                charge = Charge(
                    calls,
                    calls * chance.randint(300, 900),
                    calls * chance.randint(80, 300),
                    micro_dollars=calls * 4_321,
                )
                lines.append(Line(today - back, consumer, route, charge))
    archive = Archive(path)
    archive.write(lines)
    archive.close()


def _fail(home: Home, route: str) -> None:
    """In every worker: the connection is another each time, and so is the worker, sooner or later."""
    body = {"model": route, "messages": [{"role": "user", "content": "hi"}]}
    for _ in range(8):
        with httpx.Client(base_url=home.stack.url, verify=home.stack.trust(), trust_env=False) as http:
            http.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {home.key(ADMIN)}"})


# One consumer has a name that no config would accept, as a user's name of a hand-written file may be.
HOSTILE = Scene(
    _config,
    "broken",
    ((("search-team", 40), ("operators", 8), ("<b>shop</b>", 120)), ("chat", "team/assistant", "vectors")),
)
