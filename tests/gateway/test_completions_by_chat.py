"""The mission's samples: completions of models that only chat, at a provider that says so with a 404."""

from __future__ import annotations

import json

import pytest

from adapters import Task
from sidecar.v1 import inference_pb2 as pb
from tests.config.loading import loaded
from tests.config.test_load import MLFLOW
from tests.provider import Call, Provider, Reply, error_reply
from tests.worker.running import WorkerProcess
from tests.worker.test_rest import Http, post

GPT_4 = """\
routes:
  - name: gpt-4-completions
    route_type: llm/v1/completions
    model: {provider: openai, name: gpt-4, config: {openai_api_key: $OPENAI_API_KEY, openai_api_base: "%s"}}
"""
PROMPT = "What is MLflow?"


@pytest.fixture
def chat_only(provider: Provider) -> Provider:
    def script(call: Call) -> Reply | None:
        if call.path.endswith("/chat/completions") or call.path.endswith("/embeddings"):
            return None
        return error_reply(call, 404, "This is a chat model and not supported in the v1/completions endpoint.")

    provider.script = script
    return provider


async def complete(worker: WorkerProcess, route: str, **members: object) -> Http:
    return await post(worker, "Completions", {"model": route, "prompt": PROMPT, **members})


async def test_gpt_4_answers_completions(chat_only: Provider) -> None:
    async with WorkerProcess(loaded(GPT_4 % chat_only.base_url)) as worker:
        answer = await complete(worker, "gpt-4-completions", temperature=0.3, max_tokens=100)
        by_stub = await worker.inference().Complete(
            pb.CompleteRequest(route="gpt-4-completions", prompts=[pb.Prompt(text=PROMPT)])
        )
    assert answer.status == 200
    assert answer.json["object"] == "text_completion"
    (choice,) = answer.json["choices"]
    assert (choice["text"], choice["finish_reason"]) == (f"echo: {PROMPT}", "stop")
    assert answer.json["usage"]["completion_tokens"] == len(f"echo: {PROMPT}".split())
    assert by_stub.choices[0].text == f"echo: {PROMPT}"
    assert [call.path for call in chat_only.calls] == ["/v1/chat/completions"] * 2
    sent = chat_only.calls[0].json
    assert sent == {
        "model": "gpt-4",
        "messages": [{"role": "user", "content": PROMPT}],
        "temperature": 0.3,
        "max_tokens": 100,
    }


async def test_it_streams_pieces_of_text_and_usage_to_who_asked(chat_only: Provider) -> None:
    async with WorkerProcess(loaded(GPT_4 % chat_only.base_url)) as worker:
        answer = await complete(worker, "gpt-4-completions", stream=True, stream_options={"include_usage": True})
    events = [line.removeprefix(b"data: ") for line in answer.body.split(b"\n\n") if line]
    assert events[-1] == b"[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    assert "".join(choice["text"] for chunk in chunks for choice in chunk["choices"]) == f"echo: {PROMPT}"
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["total_tokens"] > 0


async def test_what_chat_cannot_say_is_a_400_that_names_it(chat_only: Provider) -> None:
    async with WorkerProcess(loaded(GPT_4 % chat_only.base_url)) as worker:
        answer = await complete(worker, "gpt-4-completions", suffix="the end")
    assert answer.status == 400
    assert answer.error["param"] == "suffix"
    assert not chat_only.calls


async def test_the_missions_three_routes_answer(chat_only: Provider) -> None:
    key = "        openai_api_key: $OPENAI_API_KEY\n"
    text = MLFLOW.replace(key, f"{key}        openai_api_base: {chat_only.base_url}\n")
    routes = loaded(text)
    assert [route.task for route in routes.routes.values()] == [Task.COMPLETIONS, Task.CHAT, Task.EMBEDDINGS]
    async with WorkerProcess(routes) as worker:
        completion = await complete(worker, "completions")
        chat = await post(
            worker, "ChatCompletions", {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}
        )
        vectors = await post(worker, "Embeddings", {"model": "embeddings", "input": "hello"})
    assert completion.json["choices"][0]["text"] == f"echo: {PROMPT}"
    assert chat.json["choices"][0]["message"]["content"] == "echo: hello"
    assert vectors.json["data"][0]["embedding"]


async def test_a_legacy_model_is_asked_for_a_completion(provider: Provider) -> None:
    text = (GPT_4 % provider.base_url).replace("name: gpt-4,", "name: gpt-3.5-turbo-instruct,")
    async with WorkerProcess(loaded(text)) as worker:
        answer = await complete(worker, "gpt-4-completions", suffix="the end")
    assert answer.json["choices"][0]["text"] == f"echo: {PROMPT}"
    assert [call.path for call in provider.calls] == ["/v1/completions"]
