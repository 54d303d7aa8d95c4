"""Cohere and Hugging Face behind the running core: our own fixtures are played by a loopback provider, chunked, to OpenAI clients
and stubs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.v1 import inference_pb2 as pb
from tests.config.loading import loaded
from tests.provider import Framing, Provider, Reply
from tests.worker.running import WorkerProcess
from tests.worker.test_rest import Http, post

FIXTURES = Path(__file__).parents[1] / "recordings"
# The first route is the mission's second sample.
ROUTES = """\
routes:
  - name: cohere-completions
    route_type: llm/v1/completions
    model: {{provider: cohere, name: command, config: {{cohere_api_key: $OPENAI_API_KEY, cohere_api_base: "{0}", {1}}}}}
  - name: cohere
    route_type: llm/v1/chat
    model: {{provider: cohere, name: command-a, config: {{cohere_api_key: $OPENAI_API_KEY, cohere_api_base: "{0}", {1}}}}}
  - name: embeddings
    route_type: llm/v1/embeddings
    model: {{provider: cohere, name: embed-v4.0, config: {{cohere_api_key: $OPENAI_API_KEY, cohere_api_base: "{0}", {1}}}}}
  - name: tgi
    route_type: llm/v1/completions
    model: {{provider: huggingface-text-generation-inference, name: mistral, config: {{hf_server_url: "{0}"}}}}
"""


def routes(provider: Provider, cohere: str = "input_type: search_query") -> Any:
    return loaded(ROUTES.format(provider.base_url.removesuffix("/v1"), cohere))


def played(provider: Provider, fixture: str) -> None:
    """The fixture's answer to every call, a few bytes at a time."""
    response = json.loads((FIXTURES / f"{fixture}.json").read_text())["response"]
    body = response["sse"].encode() if "sse" in response else json.dumps(response["body"]).encode()
    parts = [body[i : i + 50] for i in range(0, len(body), 50)]
    reply = Reply(response["status"], tuple(response["headers"].items()), parts, framing=Framing.CHUNKED)
    provider.script = lambda call: reply


def chunks_of(answer: Http) -> list[dict[str, Any]]:
    events = [line.removeprefix(b"data: ") for line in answer.body.split(b"\n\n") if line]
    assert events.pop() == b"[DONE]"
    return [json.loads(event) for event in events]


async def ask(worker: WorkerProcess, route: str, **members: Any) -> Http:
    return await post(
        worker, "ChatCompletions", {"model": route, "messages": [{"role": "user", "content": "Hi"}], **members}
    )


async def test_an_openai_client_gets_parallel_calls_and_the_plan_of_a_cohere_stream(provider: Provider) -> None:
    played(provider, "cohere/chat-v2__stream__parallel_tools_interleaved")
    async with WorkerProcess(routes(provider)) as worker:
        answer = await ask(worker, "cohere", stream=True, stream_options={"include_usage": True})
    chunks = chunks_of(answer)
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    arguments = ["", "", ""]
    for call in (call for delta in deltas for call in delta.get("tool_calls", ())):
        arguments[call["index"]] += call["function"].get("arguments", "")
    assert arguments == ['{"city":"Köln"}', "{}", "{}"]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "I look thrice."
    assert {chunk["model"] for chunk in chunks} == {"command-a"}
    assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]][-1] == "tool_calls"
    assert chunks[-1]["usage"]["prompt_tokens"] == 71
    assert provider.calls[0].path == "/v2/chat"
    assert provider.calls[0].headers["authorization"] == "Bearer sk-env"


@pytest.mark.parametrize(
    ("version", "path", "fixture", "text"),
    [
        ("v2", "/v2/chat", "chat-v2__sync__text_with_citations", "Grüß dich — hello."),
        ("v1", "/v1/generate", "generate__sync__two_generations", " upon"),
        ("v1", "/v1/generate", "generate__stream__text", " upon ä"),
    ],
)
async def test_the_missions_cohere_completions_answer_by_either_version(
    provider: Provider, version: str, path: str, fixture: str, text: str
) -> None:
    played(provider, f"cohere/{fixture}")
    streamed = "stream__" in fixture
    async with WorkerProcess(routes(provider, f"cohere_api_version: {version}")) as worker:
        body = {"model": "cohere-completions", "prompt": "What is MLflow?", "temperature": 0.3, "max_tokens": 100}
        answer = await post(worker, "Completions", body | {"stream": streamed})
    choices = [c for chunk in chunks_of(answer) for c in chunk["choices"]] if streamed else answer.json["choices"][:1]
    assert "".join(choice["text"] for choice in choices) == text
    assert provider.calls[0].path == path


async def test_lines_of_json_become_a_typed_stream(provider: Provider) -> None:
    played(provider, "cohere/chat-v1__stream__citations")
    async with WorkerProcess(routes(provider, "cohere_api_version: v1")) as worker:
        message = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Why?")])
        chunks = [c async for c in worker.inference().StreamChat(pb.ChatRequest(route="cohere", messages=[message]))]
    assert "".join(choice.delta.content for chunk in chunks for choice in chunk.choices) == "Weil so."
    assert (chunks[0].id, chunks[0].model, chunks[-1].usage.input_tokens) == ("own-9", "command-a", 70)


async def test_a_cohere_stream_that_ends_with_an_error_is_a_failure(provider: Provider) -> None:
    played(provider, "cohere/chat-v2__stream__error_at_the_end")
    async with WorkerProcess(routes(provider)) as worker:
        answer = await ask(worker, "cohere", stream=True)
    assert answer.status == 503
    assert "invalid tool generation" in answer.error["message"]


async def test_embeddings_take_their_purpose_from_the_route(provider: Provider) -> None:
    played(provider, "cohere/embed-v2__sync__two_texts")
    async with WorkerProcess(routes(provider)) as worker:
        answer = await post(worker, "Embeddings", {"model": "embeddings", "input": ["a", "Ä"]})
    assert [each["embedding"] for each in answer.json["data"]] == [[0.5, -0.25, 1.0], [0.1, 0.2, 0.3]]
    assert (answer.json["model"], answer.json["usage"]["prompt_tokens"]) == ("embed-v4.0", 2)
    assert provider.calls[0].json == {"model": "embed-v4.0", "texts": ["a", "Ä"], "input_type": "search_query"}


async def test_text_generation_inference_streams_to_an_openai_client_without_a_done_of_its_own(
    provider: Provider,
) -> None:
    played(provider, "huggingface/tgi-generate__stream__text")
    async with WorkerProcess(routes(provider)) as worker:
        answer = await post(worker, "Completions", {"model": "tgi", "prompt": "Once", "stream": True})
    chunks = chunks_of(answer)
    assert "".join(choice["text"] for chunk in chunks for choice in chunk["choices"]) == " upon ä\u2028"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert (provider.calls[0].path, provider.calls[0].json["inputs"]) == ("/generate_stream", "Once")
    assert "authorization" not in provider.calls[0].headers


async def test_a_model_that_is_still_loading_is_503_with_the_time_it_takes(provider: Provider) -> None:
    played(provider, "huggingface/tgi-generate__sync__http503_loading")
    async with WorkerProcess(routes(provider)) as worker:
        answer = await post(worker, "Completions", {"model": "tgi", "prompt": "Once"})
    assert (answer.status, answer.headers["retry-after"]) == (503, "21")
