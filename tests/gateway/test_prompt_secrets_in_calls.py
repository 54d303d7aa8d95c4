"""A prompt with one of the gateway's own keys does not leave it, whichever service it came by."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody

from sidecar.gateway.prompt_secrets import CODE
from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import rest_pb2
from tests.provider import Provider
from tests.worker.running import KEY, WorkerProcess, default_routes
from tests.worker.test_rest import USER, chat, post, read


async def test_the_gateways_own_key_is_refused_by_both_services_and_never_shown(provider: Provider) -> None:
    text = f"export OPENAI_API_KEY={KEY}"
    escaped = json.dumps(chat(messages=[{"role": "user", "content": text}])).replace("sk-", "\\u0073k-")
    assert KEY not in escaped
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        for stream in (False, True):
            body = chat(messages=[{"role": "user", "content": text}], stream=stream)
            answer = await post(worker, "ChatCompletions", body)
            assert (answer.status, answer.error["code"]) == (400, CODE)
            assert KEY.encode() not in answer.body
        assert (await post(worker, "ChatCompletions", escaped.encode())).error["code"] == CODE
        assert (await post(worker, "Completions", {"model": "completions", "prompt": text})).error["code"] == CODE
        assert (await post(worker, "Embeddings", {"model": "embeddings", "input": [text]})).error["code"] == CODE
        query = rest_pb2.QueryMlflowRouteRequest(
            name="chat", body=HttpBody(data=json.dumps({"messages": [{"role": "user", "content": text}]}).encode())
        )
        mlflow = await read(worker.rest().QueryMlflowRoute(query, metadata=USER))
        assert mlflow.status in (400, 422)  # MLflow's own for what is wrong with a request
        assert b"own provider keys" in mlflow.body
        assert KEY.encode() not in mlflow.body
        for call in _typed(worker, text):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert KEY not in f"{caught.value.details()} {caught.value.trailing_metadata()}"
        assert (await post(worker, "ChatCompletions", chat())).status == 200
        log = worker.log.read_text()
    assert len(provider.calls) == 1
    assert log.count("the gateway's own key of openai in a prompt, refused: route chat") == 6
    assert KEY not in log


def _typed(worker: WorkerProcess, text: str) -> list[Any]:
    message = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text=text)])
    request = pb.ChatRequest(route="chat", messages=[message])

    async def streamed() -> None:
        async for _ in worker.inference().StreamChat(request):
            pass

    return [
        worker.inference().Chat(request),
        streamed(),
        worker.inference().Complete(pb.CompleteRequest(route="completions", prompts=[pb.Prompt(text=text)])),
        worker.inference().Embed(pb.EmbedRequest(route="embeddings", inputs=[pb.EmbedInput(text=text)])),
    ]
