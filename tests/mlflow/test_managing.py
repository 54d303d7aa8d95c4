"""Routes and limits over MLflow's paths, through the front with two workers: made, called, limited, removed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.provider import Provider
from tests.stack.stack import Stack, config_for

pytestmark = pytest.mark.slow
ROUTES = "/api/2.0/gateway/routes/"
LIMITS = "/api/2.0/gateway/limits/"
KEY = "sk-planted-9876543210abcdefghij"
ADMINS = "manage_routes: true\nconsumers: [{name: operator, users: [sidecar], roles: [admin]}]\n"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[httpx.Client]:
    with Stack(tmp_path_factory.mktemp("m"), config_for(provider) + ADMINS) as stack:
        auth = (stack.user, stack.password)
        with httpx.Client(base_url=stack.url, auth=auth, verify=stack.trust(), timeout=60, trust_env=False) as client:
            yield client


def spec(name: str, provider: Provider) -> dict[str, Any]:
    """As the mission's sample has it, at a provider on loopback."""
    config = {"openai_api_key": KEY, "openai_api_base": provider.base_url}
    model = {"name": "gpt-4", "provider": "openai", "openai_config": config}
    return {"name": name, "route_type": "llm/v1/completions", "model": model}


def test_a_route_is_made_called_and_removed(http: httpx.Client, provider: Provider) -> None:
    made = http.post(ROUTES, json=spec("gpt-4-completions", provider))
    assert (made.status_code, made.json()) == (
        200,
        {
            "name": "gpt-4-completions",
            "route_type": "llm/v1/completions",
            "model": {"name": "gpt-4", "provider": "openai"},
            "route_url": "/gateway/gpt-4-completions/invocations",
            "limit": None,
        },
    )
    answers = [http.post(made.json()["route_url"], json={"prompt": "What is MLflow?"}) for _ in range(6)]
    assert {answer.status_code for answer in answers} == {200}
    assert answers[0].json()["candidates"][0]["text"] == "echo: What is MLflow?"
    assert dict(provider.calls[-1].header_list)["authorization"] == f"Bearer {KEY}"
    assert "gpt-4-completions" in [each["name"] for each in http.get(ROUTES).json()["routes"]]

    again = http.post(ROUTES, json=spec("gpt-4-completions", provider))
    assert (again.status_code, set(again.json())) == (409, {"detail"})
    assert KEY not in again.text

    assert (http.delete(ROUTES + "gpt-4-completions").status_code, http.get(ROUTES).status_code) == (200, 200)
    after = [http.post("/gateway/gpt-4-completions/invocations", json={"prompt": "x"}) for _ in range(6)]
    assert {answer.status_code for answer in after} == {404}


@pytest.mark.parametrize(
    "change",
    [
        {"route_type": "llm/v1/nonsense"},
        {"name": "no spaces please"},
        {"model": {"name": "m", "provider": "opnai", "config": {}}},
        {"model": {"name": "m", "provider": "openai", "openai_config": {"openai_api_key": "$HOME"}}},
        {"model": {"name": "m", "provider": "openai", "openai_config": {"openai_api_key": "/etc/passwd"}}},
        {"model": {"name": "m", "provider": "openai", "cohere_config": {"cohere_api_key": "k"}}},
        {"surprise": 1},
    ],
)
def test_a_route_that_cannot_work_is_refused_with_the_reason(
    http: httpx.Client, provider: Provider, change: dict[str, Any]
) -> None:
    before = http.get(ROUTES).json()
    refused = http.post(ROUTES, json={**spec("broken", provider), **change})
    assert refused.status_code == 422, refused.text
    assert refused.json()["detail"]
    assert http.get(ROUTES).json() == before


def test_a_route_of_the_file_is_not_removed_by_a_call(http: httpx.Client) -> None:
    refused = http.delete(ROUTES + "chat")
    assert (refused.status_code, set(refused.json())) == (409, {"detail"})
    assert http.delete(ROUTES + "nope").status_code == 404


@pytest.mark.parametrize("path", [LIMITS, "/api/2.0/endpoints/limits/"])
def test_limits_are_set_read_and_taken_away(http: httpx.Client, path: str) -> None:
    wanted = [{"calls": 100_000, "renewal_period": "minute", "key": "route"}]
    answer = http.post(path, json={"route": "chat", "limits": wanted})
    assert (answer.status_code, answer.json()) == (200, {"limits": wanted})
    assert [http.get(f"{path}chat").json() for _ in range(6)] == [{"limits": wanted}] * 6
    assert http.post(path, json={"route": "chat", "limits": []}).json() == {"limits": []}
    assert [http.get(f"{path}chat").json() for _ in range(6)] == [{"limits": []}] * 6
    unknown = http.post(path, json={"route": "nope", "limits": wanted})
    assert (unknown.status_code, set(unknown.json())) == (404, {"detail"})
    broken = http.post(path, json={"route": "chat", "limits": [{"calls": "many"}]})
    assert (broken.status_code, broken.json()["detail"][0]["loc"]) == (422, ["body", "limits", 0, "calls"])
