"""MLflow-served models behind the gateway, and one in front of it: real `mlflow models serve` processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc
from tests.adapters.laws import OWN
from tests.mlflow_models.serving import Served
from tests.stack.stack import LOCAL, Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

RECORDED = sorted((OWN / "mlflow").glob("*.json"))


def ask(stack: Stack, path: str, **body: Any) -> tuple[int, Any]:
    with stack.http() as http:
        answer = http.post(path, json=body)
        return answer.status_code, answer.json()


def chat(stack: Stack, content: str, route: str = "echo-chat", **members: Any) -> tuple[int, Any]:
    messages = [{"role": "user", "content": content}]
    return ask(stack, "/v1/chat/completions", model=route, messages=messages, **members)


def test_a_served_model_answers_chat(stack: Stack) -> None:
    status, answer = chat(stack, "Grüß dich")
    assert (status, answer["object"]) == (200, "chat.completion")
    (choice,) = answer["choices"]
    assert (choice["message"]["role"], choice["message"]["content"]) == ("assistant", "echo: Grüß dich")
    assert choice["finish_reason"] is None
    assert "usage" not in answer


def test_parameters_reach_the_model_under_their_names_and_none_is_invented(stack: Stack) -> None:
    def arrived(**members: Any) -> Any:
        return json.loads(chat(stack, "show", **members)[1]["choices"][0]["message"]["content"])

    given = {"temperature": 0.25, "max_tokens": 7, "seed": 2**40, "stop": ["END"], "top_k": 3}
    assert arrived(**given) == given
    assert arrived() == {}


def test_a_model_that_gives_two_texts_gives_two_choices(stack: Stack) -> None:
    status, answer = ask(stack, "/v1/completions", model="echo-completions", prompt="Once", n=2)
    assert status == 200
    assert [(one["index"], one["text"]) for one in answer["choices"]] == [(0, "echo: Once"), (1, "echo: Once")]
    assert chat(stack, 'json:{"candidates": ["a", "b"]}')[1]["choices"][1]["message"]["content"] == "b"


def test_embeddings_come_one_a_text(stack: Stack) -> None:
    status, answer = ask(stack, "/v1/embeddings", model="echo-embeddings", input=["ab", "abcd"], dimensions=2)
    assert status == 200
    assert [row["embedding"] for row in answer["data"]] == [[2, 1], [4, 2]]
    assert ask(stack, "/v1/embeddings", model="echo-embeddings", input="json:[0.5, 1]")[1]["data"][0]["embedding"] == [
        0.5,
        1,
    ]


def test_openais_sdks_ask_for_base64_and_get_it(stack: Stack) -> None:
    body = {"model": "echo-embeddings", "input": ["ab"], "dimensions": 2, "encoding_format": "base64"}
    assert ask(stack, "/v1/embeddings", **body)[1]["data"][0]["embedding"] == "AAAAQAAAgD8="


async def test_the_typed_services_reach_it_too(stack: Stack) -> None:
    async with stack.channel(LOCAL) as channel:
        stub: Any = inference_pb2_grpc.InferenceServiceStub(channel)
        request = pb.ChatRequest(route="echo-chat", n=2)
        request.messages.add(role=pb.ROLE_USER).content.add(text="hi")
        answer = await stub.Chat(request)
        assert [choice.message.content[0].text for choice in answer.choices] == ["echo: hi", "echo: hi"]
        assert not answer.HasField("usage")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            _ = [chunk async for chunk in stub.StreamChat(request)]
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("prediction", ["[]", "{}", "null", "1", '"text"', '[{"text": "x"}]', '{"a": ["x"], "b": 1}'])
def test_predictions_that_are_no_texts_are_a_broken_answer(stack: Stack, prediction: str) -> None:
    status, answer = chat(stack, f"json:{prediction}")
    assert status == 502
    assert "predictions" in answer["error"]["message"]


def test_a_model_that_fails_is_told_of_without_its_stack_trace(stack: Stack) -> None:
    status, answer = chat(stack, "boom")
    assert status == 400
    assert "unexpected error while evaluating the model" in answer["error"]["message"]
    assert "Traceback" not in json.dumps(answer)


def test_a_conversation_is_refused_by_name(stack: Stack) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    status, answer = ask(stack, "/v1/chat/completions", model="echo-chat", messages=messages)
    assert (status, answer["error"]["param"]) == (400, "messages")
    assert "mlflow-model-serving" in answer["error"]["message"]


def test_a_served_model_calls_the_gateway_and_the_gateway_calls_it(stack: Stack, caller: Served) -> None:
    """caller -> gateway -> simulator; and gateway -> caller -> gateway -> simulator."""
    answer = caller.invoke({"inputs": ["What is MLflow?"]})
    assert answer.json() == {"predictions": ["echo: What is MLflow?"]}
    status, circle = chat(stack, "What is MLflow?", route="caller")
    assert (status, circle["choices"][0]["message"]["content"]) == (200, "echo: What is MLflow?")


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_the_server_still_answers_as_recorded(echo: Served, path: Path) -> None:
    recorded = json.loads(path.read_text())
    answer = echo.invoke(recorded["request"]["body"])
    wanted = recorded["response"]
    assert (answer.status_code, answer.json() | {"stack_trace": ""}) == (
        wanted["status"],
        wanted["body"] | {"stack_trace": ""},
    )
