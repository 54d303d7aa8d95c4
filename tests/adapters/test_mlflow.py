"""What MLflow-served models are sent and refused; the laws and a real server (tests/mlflow_models) show the rest."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from adapters import FORMATS, GatewayError, Kind, Target, Task
from adapters.providers import PROVIDERS
from sidecar.v1 import inference_pb2 as pb
from tests.adapters.laws import CONTEXT

FORMAT = FORMATS["mlflow"]
TARGET = Target(PROVIDERS["mlflow-model-serving"], "churn", "http://127.0.0.1:5000")


def question(**fields: Any) -> pb.ChatRequest:
    return pb.ChatRequest(messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="hi")])], **fields)


def sent(request: Any, task: Task = Task.CHAT, target: Target = TARGET) -> Any:
    call = FORMAT.provider[task].encode(request, target, False, CONTEXT)
    assert call.url == "http://127.0.0.1:5000/invocations"
    return json.loads(call.body)


def refused(request: Any, task: Task = Task.CHAT) -> str | None:
    with pytest.raises(GatewayError) as caught:
        sent(request, task)
    assert caught.value.kind is Kind.UNSUPPORTED_PARAMETER
    assert "mlflow-model-serving" in caught.value.message
    return caught.value.param


def test_params_are_left_out_where_the_caller_gave_none() -> None:
    assert sent(question()) == {"inputs": ["hi"]}


def test_numbers_keep_their_digits_and_unknown_members_go_along() -> None:
    request = question(temperature=0.1, seed=2**62, extra_json='{"top_k": 12345678901234567890, "n_best": [1.0]}')
    body = FORMAT.provider[Task.CHAT].encode(request, TARGET, False, CONTEXT).body
    assert b'"temperature":0.1' in body
    assert b"4611686018427387904" in body
    assert b'"top_k":12345678901234567890' in body


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [pb.Tool(function=pb.FunctionTool(name="f"))]}, "tools"),
        ({"response_format": pb.ResponseFormat(json_object={})}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
    ],
)
def test_what_a_text_cannot_say_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    assert refused(question(**fields)) == param
    dropping = replace(TARGET, options={"drop_params": [param]})
    assert sent(question(**fields), target=dropping) == {"inputs": ["hi"]}


def test_what_asks_for_nothing_is_no_reason_to_refuse() -> None:
    assert sent(question(logprobs=False, modalities=["text"], response_format=pb.ResponseFormat(text={}))) == sent(
        question()
    )


def test_turns_roles_and_pictures_are_refused_by_name() -> None:
    two = question()
    two.messages.add(role=pb.ROLE_ASSISTANT).content.add(text="hello")
    assert refused(two) == "messages"
    system = question()
    system.messages[0].role = pb.ROLE_SYSTEM
    assert refused(system) == "messages[0].role"
    picture = question()
    picture.messages[0].content.add(image=pb.Image(url="https://example.com/cat.png"))
    assert refused(picture) == "messages[0].content[1].image_url"


def test_several_prompts_and_token_ids_are_refused_by_name() -> None:
    two = pb.CompleteRequest(prompts=[pb.Prompt(text="a"), pb.Prompt(text="b")])
    assert refused(two, Task.COMPLETIONS) == "prompt"
    assert refused(pb.CompleteRequest(prompts=[pb.Prompt(tokens=pb.Tokens(ids=[1]))]), Task.COMPLETIONS) == "prompt"
    assert refused(pb.EmbedRequest(inputs=[pb.EmbedInput(tokens=pb.Tokens(ids=[1]))]), Task.EMBEDDINGS) == "input"


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize(
    "predictions",
    [b"", b"[]", b"{}", b"null", b'"text"', b"[1,[2]]", b'{"a":[],"b":["x"]}', b'[{"text":"x"}]', b'["x",1]'],
)
def test_other_predictions_are_a_broken_answer(task: Task, predictions: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        FORMAT.provider[task].decode(b'{"predictions":%b}' % predictions, CONTEXT)
    assert caught.value.kind is Kind.UPSTREAM_PROTOCOL


def test_what_an_answer_says_beside_the_texts_is_kept() -> None:
    body = b'{"predictions": {"candidates": ["a"], "score": 0.5}, "trace": 1}'
    answer = FORMAT.provider[Task.CHAT].decode(body, CONTEXT)
    assert json.loads(answer.extra_json) == {"score": 0.5, "trace": 1}
    assert not answer.HasField("usage")
    assert answer.choices[0].finish_reason == pb.FINISH_REASON_UNSPECIFIED


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (400, b'{"error_code":"BAD_REQUEST","message":"no","stack_trace":"Tr"}', Kind.INVALID_REQUEST, "no"),
        (404, b'{"detail":"Not Found"}', Kind.UPSTREAM_NOT_FOUND, "Not Found"),
        (400, b'{"error_code":"REQUEST_LIMIT_EXCEEDED","message":"slow"}', Kind.RATE_LIMITED, "slow"),
        (422, b'{"detail":[{"loc":["body"],"msg":"field required"}]}', Kind.INVALID_REQUEST, "body: field required"),
        (503, b"upstream connect error", Kind.UPSTREAM_UNAVAILABLE, "upstream connect error"),
        (502, b"<html>Bad Gateway</html>", Kind.UPSTREAM_UNAVAILABLE, "The provider answered HTTP 502."),
    ],
)
def test_failures_keep_their_reason_and_words(status: int, body: bytes, kind: Kind, message: str) -> None:
    failure = FORMAT.error(status, {"retry-after": "3"}, body)
    assert (failure.kind, failure.message, failure.status) == (kind, message, status)
    assert failure.retry_after_s == 3
