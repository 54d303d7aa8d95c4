"""The rows: each is complete, asks at the addresses that were recorded, and says its quirks as data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from adapters import FORMATS, Context, GatewayError, Kind, Provider, Target, Task, side_of
from adapters.providers import ALIASES, PROVIDERS
from adapters.sse import Event, Parser
from sidecar.domain.snapshot import target_of
from sidecar.v1 import inference_pb2 as pb
from tests.adapters.laws import Case, cases
from tests.config.loading import loaded

CONTEXT = Context(1_700_000_000, lambda prefix: prefix + "1")
REQUESTS: dict[Task, Any] = {
    Task.CHAT: pb.ChatRequest(messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="hi")])]),
    Task.COMPLETIONS: pb.CompleteRequest(prompts=[pb.Prompt(text="hi")]),
    Task.EMBEDDINGS: pb.EmbedRequest(inputs=[pb.EmbedInput(text="hi")]),
}


def encoded(target: Target, task: Task, request: Any = None, stream: bool = False) -> tuple[str, Any]:
    side = side_of(FORMATS[target.provider.format], target, task)
    assert side is not None
    call = side.encode(request or REQUESTS[task], target, stream, CONTEXT)
    return call.url, json.loads(call.body)


@pytest.mark.parametrize("row", PROVIDERS.values(), ids=PROVIDERS)
def test_a_row_is_complete(row: Provider) -> None:
    assert row.format in FORMATS
    assert row.stream_end in ("done", "finish", "close")
    assert row.auth in ("bearer", "x-api-key", "api-key", "authorization", "none")
    assert row.base_url is None or not row.base_url.endswith("/")
    assert row.tasks
    if row.key_required:
        assert "api_key" in row.config_keys.values()
    if row.base_url is None and row.name != "local":
        assert "base_url" in row.config_keys.values()
    assert row.options.get("completions_api", "completions") in ("completions", "chat", "by_model")


def test_aliases_lead_to_rows_and_hide_none() -> None:
    assert set(ALIASES.values()) <= set(PROVIDERS)
    assert not ALIASES.keys() & PROVIDERS.keys()


MISSION = (
    "mistral", "groq", "together", "deepseek", "xai", "openrouter", "fireworks", "perplexity", "cerebras", "nvidia", "ollama",
    "vllm", "llama.cpp", "sglang", "lm-studio", "huggingface-router", "gemini", "openai-compatible", "azure", "databricks",
)  # fmt: skip


@pytest.mark.parametrize("name", MISSION)
def test_every_provider_of_the_mission_has_a_row(name: str) -> None:
    assert PROVIDERS[name].format == "openai"


def recorded() -> Iterator[Case]:
    """One recording for each row and task whose address the row knows."""
    seen = set()
    for case in cases():
        key = (case.row.provider.name, case.task)
        at = urlsplit(case.recording["request"].get("url") or "")
        row = case.row.provider
        known = row.format == "openai" and case.task in row.tasks
        known = known and row.base_url is not None and at.netloc == urlsplit(row.base_url).netloc
        # Hugging Face's router once had a path for each of those behind it.
        if known and at.path.count("/") < 5 and key not in seen:
            seen.add(key)
            yield case


@pytest.mark.parametrize("case", list(recorded()), ids=lambda case: f"{case.row.provider.name}-{case.task}")
def test_a_row_asks_where_the_recorded_request_went(case: Case) -> None:
    row = case.row.provider
    side = case.format.provider[case.task]
    call = side.encode(REQUESTS[case.task], Target(row, "m", row.base_url or ""), False, CONTEXT)
    assert call.url == case.recording["request"]["url"].partition("?")[0]


def azure(url: str) -> tuple[Target, str]:
    """The target of a config written for the resource of a recorded URL."""
    at = urlsplit(url)
    version = parse_qs(at.query).get("api-version", [""])[0]
    parts = at.path.replace("//", "/").split("/")
    base = f"https://{at.netloc}" + ("/models" if parts[1] == "models" else "")
    config = f"api_key: k, base_url: {base}" + (f', openai_api_version: "{version}"' if version else "")
    if "deployments" in parts:
        config += f", openai_deployment_name: {parts[parts.index('deployments') + 1]}"
    text = f"routes: [{{name: r, route_type: llm/v1/chat, model: {{provider: azure, name: m, config: {{{config}}}}}}}]"
    return target_of(loaded(text).routes["r"].upstreams[0]), parts[-1]


def _azure_urls() -> Iterator[str]:
    for case in cases():
        url: str = case.recording["request"].get("url") or ""
        if case.row.provider.name == "azure" and case.status == 200 and ("/openai/" in url or "/models/" in url):
            yield url


AZURE = sorted(set(_azure_urls()))


@pytest.mark.parametrize("url", AZURE)
def test_azures_recorded_addresses_come_out_of_a_config(url: str) -> None:
    target, last = azure(url)
    task = Task.EMBEDDINGS if last == "embeddings" else Task.CHAT
    if last == "completions" and not url.partition("?")[0].endswith("/chat/completions"):
        task = Task.COMPLETIONS
        target = Target(target.provider, "gpt-3.5-turbo-instruct", target.base_url, target.options)
    assert encoded(target, task)[0].rstrip("?") == url.rstrip("?").replace(".com//", ".com/")


@pytest.mark.parametrize("task", list(Task))
def test_a_databricks_endpoint_stands_in_the_path_and_not_in_the_body(task: Task) -> None:
    target = Target(PROVIDERS["databricks"], "a b/ü", "https://w.net/serving-endpoints")
    url, body = encoded(target, task)
    assert url == "https://w.net/serving-endpoints/a%20b%2F%C3%BC/invocations"
    assert "model" not in body


def test_a_query_is_escaped() -> None:
    target = Target(PROVIDERS["azure"], "m", "https://x", {"query": {"api-version": "a&b=c"}})
    assert encoded(target, Task.EMBEDDINGS)[0] == "https://x/embeddings?api-version=a%26b%3Dc"


def test_what_a_provider_calls_otherwise_is_renamed_and_never_said_twice() -> None:
    request = pb.ChatRequest(messages=REQUESTS[Task.CHAT].messages, seed=7, max_completion_tokens=5)
    _, body = encoded(Target(PROVIDERS["mistral"], "m", "https://x"), Task.CHAT, request)
    assert (body["random_seed"], body["max_tokens"]) == (7, 5)
    assert {"seed", "max_completion_tokens"}.isdisjoint(body)
    request.max_tokens = 6
    with pytest.raises(GatewayError) as caught:
        encoded(Target(PROVIDERS["mistral"], "m", "https://x"), Task.CHAT, request)
    assert caught.value.kind is Kind.INVALID_REQUEST


@pytest.mark.parametrize("name", MISSION)
def test_usage_of_a_stream_is_asked_for_only_where_that_is_understood(name: str) -> None:
    row = PROVIDERS[name]
    _, body = encoded(Target(row, "m", "https://x"), Task.CHAT, stream=True)
    assert ("stream_options" in body) is row.include_usage


def azure_chunks(*bodies: dict[str, Any]) -> list[Any]:
    stream = FORMATS["openai"].provider[Task.CHAT].stream
    assert stream is not None
    decoder, out = stream(Target(PROVIDERS["azure"], "m", "https://x"), CONTEXT), []
    for body in bodies:
        out += decoder.feed(Event("", json.dumps(body).encode(), b""))
    return out


def test_azures_filter_results_before_the_first_choice_are_kept() -> None:
    first = {
        "choices": [],
        "created": 0,
        "id": "",
        "model": "",
        "object": "",
        "prompt_filter_results": [{"prompt_index": 0}],
    }
    second = {
        "choices": [{"index": 0, "delta": {"content": "a"}, "content_filter_results": {"hate": {}}}],
        "id": "c",
        "model": "m",
    }
    (chunk,) = azure_chunks(first, second)
    assert chunk.id == "c"
    assert json.loads(chunk.extra_json) == {"prompt_filter_results": [{"prompt_index": 0}]}
    assert json.loads(chunk.choices[0].extra_json) == {"content_filter_results": {"hate": {}}}


FILTERED = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "type": None, "param": "prompt", "code": "content_filter", "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}},
    }
}  # fmt: skip


def test_azures_filter_is_no_failure_of_the_request_but_a_kind_of_its_own() -> None:
    failure = FORMATS["openai"].error(400, {}, json.dumps(FILTERED).encode())
    assert (failure.kind, failure.code, failure.param) == (Kind.CONTENT_FILTERED, "content_filter", "prompt")
    with pytest.raises(GatewayError) as caught:
        FORMATS["openai"].provider[Task.CHAT].decode(json.dumps(FILTERED).encode(), CONTEXT)
    assert caught.value.kind is Kind.CONTENT_FILTERED


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (403, {"error_code": "PERMISSION_DENIED", "message": "no"}, Kind.UPSTREAM_REJECTED_CREDENTIALS),
        (404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}, Kind.UPSTREAM_NOT_FOUND),
        (429, {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "no"}, Kind.RATE_LIMITED),
        (400, {"error_code": "BAD_REQUEST", "message": "no"}, Kind.INVALID_REQUEST),
    ],
)
def test_databricks_flat_errors_are_read(status: int, body: dict[str, str], kind: Kind) -> None:
    failure = FORMATS["openai"].error(status, {}, json.dumps(body).encode())
    assert (failure.kind, failure.message, failure.code) == (kind, "no", body["error_code"])


@pytest.mark.parametrize("row", [row for row in PROVIDERS.values() if row.format == "openai"], ids=lambda row: row.name)
def test_every_providers_stream_ends_with_the_body_once_all_has_finished(row: Provider) -> None:
    event = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
    stream = FORMATS["openai"].provider[Task.CHAT].stream
    assert stream is not None
    for options, ends in (({}, True), ({"stream_end": "done"}, False)):
        decoder = stream(Target(row, "m", "https://x", options), CONTEXT)
        for each in Parser().feed(event):
            decoder.feed(each)
        if ends:
            assert decoder.close() == []
        else:
            with pytest.raises(GatewayError):
                decoder.close()


@pytest.mark.parametrize("name", ["mistral", "databricks"])
def test_a_provider_that_refuses_to_be_asked_for_usage_is_not_asked_by_the_caller_either(name: str) -> None:
    row = PROVIDERS[name]
    assert not row.include_usage
    target = Target(row, "m", "https://x")
    request = pb.ChatRequest(messages=REQUESTS[Task.CHAT].messages, stream_options=pb.StreamOptions(include_usage=True))
    assert "stream_options" not in encoded(target, Task.CHAT, request, stream=True)[1]
    client, side = FORMATS["openai"].client[Task.CHAT], FORMATS["openai"].provider[Task.CHAT]
    assert side.patch is not None
    for options, kept in (
        ('{"include_usage": true}', None),
        ("null", None),
        ('{"include_usage":true,"z":1.0}', {"z": 1.0}),
    ):
        body = f'{{"model": "r", "messages": [], "stream": true, "stream_options": {options}}}'
        sent = json.loads(side.patch(client.open(body.encode()), target).body)
        assert sent.get("stream_options") == kept
