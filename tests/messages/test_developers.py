"""The team configuration of docs/reference/agents.md is accepted, and gives each developer their own limits and budget."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.cli.running import sidecar
from tests.messages.providers import answers
from tests.processes import REPOSITORY
from tests.provider import Provider
from tests.stack.stack import Stack

pytestmark = pytest.mark.slow
BODY = {"max_tokens": 64, "messages": [{"role": "user", "content": "Oslo?"}]}
# As the page has it: so many requests a minute.
REQUESTS = 120


def example(simulator: Provider) -> str:
    """The page's YAML, with the addresses and keys of the simulated provider."""
    page = (REPOSITORY / "docs" / "reference" / "agents.md").read_text()
    (text,) = re.findall(r"```yaml\n(routes:.*?)```", page, re.DOTALL)
    for key, base in (("anthropic", simulator.root_url), ("openai", simulator.base_url)):
        placeholder = f"{key}_api_key: ${key.upper()}_API_KEY"
        assert placeholder in text
        text = text.replace(placeholder, f"{key}_api_key: sk-key, {key}_api_base: {base}")
    return str(text)


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, simulator: Provider) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("team"), example(simulator), workers=1) as running:
        yield running


def test_one_developer_who_asks_too_much_leaves_the_others_alone(team: Stack, simulator: Provider) -> None:
    simulator.script = answers
    added = sidecar("users", "add", "ada", "--state-dir", str(team.state)).stdout
    ada = re.search(r"^api key +(\S+)$", added, re.MULTILINE)
    assert ada is not None
    with team.http() as first, team.http(key=ada[1]) as second:
        answer = first.post("/v1/messages", json={**BODY, "model": "claude"})
        assert answer.status_code == 200
        assert answer.headers["x-ratelimit-limit-requests"] == str(REQUESTS)
        # The limit fills again while this goes on, two a second.
        further = (first.post("/v1/messages", json={**BODY, "model": "claude"}) for _ in range(REQUESTS * 2))
        refused = next(each for each in further if each.status_code != 200)
        assert (refused.status_code, refused.json()["error"]["type"]) == (429, "rate_limit_error")
        assert second.post("/v1/messages", json={**BODY, "model": "claude"}).status_code == 200
        assert first.post("/v1/messages", json={**BODY, "model": "small"}).status_code == 200
