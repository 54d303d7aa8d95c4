"""Azure through a real worker: its addresses, its header, its filter's words."""

from __future__ import annotations

import json

import pytest

from sidecar.domain.snapshot import Snapshot
from sidecar.v1 import inference_pb2 as pb
from tests.config.loading import loaded
from tests.provider import Provider, data, json_reply, sse_reply
from tests.worker.running import WorkerProcess
from tests.worker.test_rest import FINISH, chat, chunk, post

FILTER = {
    "choices": [],
    "created": 0,
    "id": "",
    "model": "",
    "object": "",
    "prompt_filter_results": [{"prompt_index": 0}],
}
DONE = b"data: [DONE]\n\n"


def routes(provider: Provider, kind: str = "azure", task: str = "chat") -> Snapshot:
    """MLflow's own spelling."""
    config = (
        f"openai_api_type: {kind}, openai_api_key: $OPENAI_API_KEY, openai_api_base: {provider.root_url}/, "
        "openai_api_version: 2024-10-21, openai_deployment_name: my-deployment"
    )
    model = f"{{provider: openai, name: gpt-4o, config: {{{config}}}}}"
    return loaded(f"routes:\n  - name: chat\n    route_type: llm/v1/{task}\n    model: {model}\n")


@pytest.mark.parametrize(
    ("kind", "header", "value"), [("azure", "api-key", "sk-env"), ("azuread", "authorization", "Bearer sk-env")]
)
async def test_mlflows_azure_is_called_at_its_deployment(
    provider: Provider, kind: str, header: str, value: str
) -> None:
    async with WorkerProcess(routes(provider, kind)) as worker:
        answer = await post(worker, "ChatCompletions", chat(seed=12345678901234567))
    assert answer.status == 200
    assert answer.headers["x-sidecar-upstream"] == "azure"
    (call,) = provider.calls
    assert call.target == "/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21"
    assert call.headers[header] == value
    assert {"api-key", "authorization"} & call.headers.keys() == {header}
    assert b"12345678901234567" in call.body


async def test_a_stream_that_begins_with_filter_results_passes_as_it_is(provider: Provider) -> None:
    events = [data(FILTER), chunk({"role": "assistant", "content": ""}), chunk({"content": "Hi"}), FINISH, DONE]
    provider.script = lambda call: sse_reply(events)
    async with WorkerProcess(routes(provider)) as worker:
        answer = await post(worker, "ChatCompletions", chat(stream=True))
        stub = worker.inference()
        message = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="hi")])
        chunks = [each async for each in stub.StreamChat(pb.ChatRequest(route="chat", messages=[message]))]
    assert answer.body == b"".join(events)
    assert json.loads(chunks[0].extra_json) == {"prompt_filter_results": [{"prompt_index": 0}]}
    assert {each.id for each in chunks} == {"c1"}
    assert "".join(choice.delta.content for each in chunks for choice in each.choices) == "Hi"


async def test_a_filtered_prompt_is_the_callers_400_with_azures_own_code(provider: Provider) -> None:
    error = {
        "message": "The response was filtered.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
    }
    provider.script = lambda call: json_reply({"error": error}, 400)
    async with WorkerProcess(routes(provider)) as worker:
        answer = await post(worker, "ChatCompletions", chat())
    assert answer.status == 400
    assert (answer.error["code"], answer.error["message"]) == ("content_filter", "The response was filtered.")


async def test_a_completions_route_at_azure_goes_to_chat(provider: Provider) -> None:
    async with WorkerProcess(routes(provider, task="completions")) as worker:
        answer = await post(worker, "Completions", {"model": "chat", "prompt": "What is MLflow?"})
    assert answer.json["choices"][0]["text"] == "echo: What is MLflow?"
    assert provider.calls[0].path == "/openai/deployments/my-deployment/chat/completions"
