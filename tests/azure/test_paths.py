"""Azure's paths by the bytes: the deployment is the route, `api-version` says nothing, errors have OpenAI's shape."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.provider import Provider
from tests.stack.stack import Stack

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "Say hello."}]}
VERSIONS = ("", "?api-version=2024-10-21", "?api-version=2099-01-01-preview", "?api-version=")


@pytest.mark.parametrize("name", ["chat", "claude", "team/gpt", "team%2Fgpt"])
def test_the_deployment_in_the_path_is_the_route_whatever_the_body_names(
    stack: Stack, simulator: Provider, name: str
) -> None:
    with stack.http() as http:
        for version in VERSIONS:
            for body in (CHAT, {**CHAT, "model": "gpt-4o"}, {**CHAT, "model": None}):
                answer = http.post(f"/openai/deployments/{name}/chat/completions{version}", json=body)
                assert answer.status_code == 200, (version, body, answer.text)
                assert answer.json()["object"] == "chat.completion"
                assert simulator.calls[-1].json["model"] == "sim-chat"
                assert simulator.calls[-1].query == ""  # ours ends here


def test_a_stream_of_a_deployment(stack: Stack) -> None:
    with stack.http() as http:
        path = "/openai/deployments/claude/chat/completions?api-version=2024-10-21"
        answer = http.post(path, json={**CHAT, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("before", ["/openai/deployments/{}", "/openai/v1"])
def test_completions_and_embeddings(stack: Stack, simulator: Provider, before: str) -> None:
    with stack.http() as http:
        for name, member in (("completions", "prompt"), ("embeddings", "input")):
            path = f"{before.format(name)}/{name}?api-version=preview"
            answer = http.post(path, json={member: "hello", "model": name})
            assert (answer.status_code, simulator.calls[-1].json[member]) == (200, "hello"), answer.text


@pytest.mark.parametrize("version", ["", "?api-version=preview", "?api-version=latest"])
def test_the_paths_of_openai_below_azures(stack: Stack, version: str) -> None:
    with stack.http() as http:
        chat = http.post(f"/openai/v1/chat/completions{version}", json={**CHAT, "model": "chat"})
        response = http.post(f"/openai/v1/responses{version}", json={"model": "chat", "input": "Say hello."})
        models = http.get(f"/openai/v1/models{version}")
        model = http.get(f"/openai/v1/models/team%2Fgpt{version}")
        older = http.post(f"/openai/responses{version}", json={"model": "chat", "input": "Say hello."})
        listed = http.get(f"/openai/models{version}")
    assert (chat.json()["object"], response.json()["object"]) == ("chat.completion", "response")
    assert [each["id"] for each in models.json()["data"]] == ["chat", "completions", "embeddings", "claude", "team/gpt"]
    assert model.json()["id"] == "team/gpt"
    assert (older.json()["object"], listed.json()) == ("response", models.json())


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/openai/deployments/nobody/chat/completions", CHAT, 404, "model_not_found"),
        ("/openai/deployments/embeddings/chat/completions", CHAT, 400, None),
        ("/openai/deployments/chat/embeddings", {"input": "a"}, 400, None),
        ("/openai/deployments/claude/chat/completions", {"messages": 1}, 400, None),
        ("/openai/deployments/chat/chat/completions", [], 400, None),
        ("/openai/deployments/chat/images/generations", {}, 404, "unknown_url"),
        ("/openai/v1/chat/completions", CHAT, 400, None),
    ],
)
def test_errors_have_the_shape_that_the_sdks_read(
    stack: Stack, simulator: Provider, path: str, body: object, status: int, code: str | None
) -> None:
    with stack.http() as http:
        answer = http.post(f"{path}?api-version=2024-10-21", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, set(error)) == (status, {"message", "type", "param", "code"}), answer.text
    assert code is None or error["code"] == code
    assert simulator.calls == [] or simulator.calls[-1].path != path


def test_another_query_is_refused_by_name(stack: Stack) -> None:
    with stack.http() as http:
        for path in ("/openai/deployments/chat/chat/completions", "/openai/v1/chat/completions"):
            for query, words in (
                ("api_version=1", "no query parameter 'api_version'"),
                ("api-version=1&api-version=2", "'api-version' may stand once"),
                ("api-version=1&route=claude", "no query parameter 'route'"),
            ):
                answer = http.post(f"{path}?{query}", json={**CHAT, "model": "chat"})
                assert (answer.status_code, words in answer.text) == (400, True), (path, query, answer.text)
        assert http.post("/v1/chat/completions?api-version=1", json={**CHAT, "model": "chat"}).status_code == 400


def test_calls_of_a_deployment_are_counted_and_logged_like_any_other(stack: Stack) -> None:
    def counted() -> float:
        return stack.metric("sidecar_requests_total", route="team/gpt", operation="chat", outcome="ok")

    before = counted()
    with stack.http() as http:
        http.post("/openai/deployments/team%2Fgpt/chat/completions?api-version=1", json=CHAT)
        page = http.get("/openapi.json").json()["paths"]
    assert counted() == before + 1
    line = json.loads(next(each for each in reversed(stack.log.splitlines()) if '"route":"team/gpt"' in each))
    assert (line["operation"], line["outcome"]) == ("chat", "ok")
    parameters = page["/openai/deployments/{route}/chat/completions"]["post"]["parameters"]
    assert [(each["name"], each["in"], each["required"]) for each in parameters] == [
        ("route", "path", True),
        ("api-version", "query", False),
    ]
