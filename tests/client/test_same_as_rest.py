"""What the client makes of messages and into messages, judged by the gateway's own reader and writer of OpenAI's format.

By REST the gateway translates; by gRPC the client does. Both must say the same of the same body and of the same answer.
"""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from llm_gateway_client.errors import SidecarError
from llm_gateway_client.json_values import read_chat, read_chat_chunk, read_completion, read_embeddings
from llm_gateway_client.message_json import chat_json, completion_json, embeddings_json
from llm_gateway_client.message_values import (
    chat_chunks_of,
    chat_of,
    completion_chunks_of,
    completion_of,
    embeddings_of,
)
from llm_gateway_client.openai_requests import chat_request, complete_request, embed_request
from llm_gateway_client.sse import Events
from llm_gateway_client.v1 import inference_pb2 as ours

from adapters import FORMATS, GatewayError, Target, Task
from adapters.providers import PROVIDERS
from tests.adapters.laws import CONTEXT, Case, cases
from tests.adapters.meaning import chunks_of
from tests.adapters.mutation import changed
from tests.adapters.openai_examples import TRANSLATED

SIDES = FORMATS["openai"].client
REQUEST_OF = {Task.CHAT: chat_request, Task.COMPLETIONS: complete_request, Task.EMBEDDINGS: embed_request}
MUTATIONS = 40
CASES = cases()
SENT = [case for case in CASES if case.row.provider.format == "openai" and isinstance(case.request, dict)]
ANSWERED = [case for case in CASES if case.status == 200 and not case.failed]


def name_of(case: Case) -> str:
    return f"{case.row.provider.name}-{case.path.stem}"


def refused_or_sent(task: Task, body: Any) -> tuple[Any, Any]:
    """What the gateway's reader makes of a body, and what the client does: fields, or the member at fault."""
    try:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        gateways: Any = SIDES[task].decode_request(SIDES[task].open(text)).SerializeToString(deterministic=True)
    except GatewayError as error:
        gateways = error.kind.value, error.param, error.message
    try:
        clients: Any = REQUEST_OF[task](body).SerializeToString(deterministic=True)
    except SidecarError as error:
        clients = error.kind, error.param, error.message
    return gateways, clients


@pytest.mark.parametrize("case", SENT, ids=name_of)
def test_a_recorded_request_is_the_same_message(case: Case) -> None:
    gateways, clients = refused_or_sent(case.task, {**case.request, "model": "r"})
    assert clients == gateways


TASKS = {"ChatRequest": Task.CHAT, "CompleteRequest": Task.COMPLETIONS, "EmbedRequest": Task.EMBEDDINGS}
TARGET = Target(PROVIDERS["openai"], "r", "http://127.0.0.1")


def body_of(request: Any) -> tuple[Task, dict[str, Any]]:
    """The body of OpenAI's format that says this request."""
    task = TASKS[type(request).__name__]
    call = FORMATS["openai"].provider[task].encode(request, TARGET, False, CONTEXT)
    return task, json.loads(call.body)


@pytest.mark.parametrize("request_", TRANSLATED, ids=range(len(TRANSLATED)))
def test_a_request_with_each_field_is_the_same_message(request_: Any) -> None:
    gateways, clients = refused_or_sent(*body_of(request_))
    assert clients == gateways


@pytest.mark.parametrize("number", range(len(TRANSLATED)))
def test_a_request_with_a_fault_is_refused_in_the_same_words(number: int) -> None:
    """Or is the same message, where the fault is none."""
    task, body = body_of(TRANSLATED[number])
    dice = random.Random(number)
    for _ in range(MUTATIONS):
        faulty = changed(body, dice)
        if not isinstance(faulty, dict) or "stream" in faulty or not is_text(faulty):
            continue
        gateways, clients = refused_or_sent(task, faulty)
        if isinstance(gateways, tuple) and isinstance(clients, tuple) and gateways[1] != clients[1]:
            assert clients[0] == gateways[0], faulty  # two members were swapped: either may be named
        else:
            assert clients == gateways, faulty


def is_text(body: Any) -> bool:
    """Half a surrogate is no text in any encoding; both raise UnicodeEncodeError."""
    try:
        return bool(json.dumps(body, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        return False


def check_answer(task: Task, answer: Any) -> None:
    whole = json.loads(SIDES[task].encode_response(answer))
    data = answer.SerializeToString()
    if task is Task.CHAT:
        message: Any = ours.ChatResponse.FromString(data)
        assert chat_of(message) == read_chat(whole)
        assert chat_json(message) == whole
    elif task is Task.COMPLETIONS:
        message = ours.CompleteResponse.FromString(data)
        assert completion_of(message) == read_completion(whole)
        assert completion_json(message) == whole
    else:
        message = ours.EmbedResponse.FromString(data)
        assert embeddings_of(message) == read_embeddings(whole)
        assert embeddings_json(message) == whole


def check_chunk(task: Task, chunk: Any) -> None:
    encode = SIDES[task].encode_chunk
    assert encode is not None
    sent = [json.loads(event) for event in Events().feed(encode(chunk, True))]
    data = chunk.SerializeToString()
    if task is Task.CHAT:
        found: list[Any] = chat_chunks_of(ours.StreamChatResponse.FromString(data))
        assert found == [read_chat_chunk(each) for each in sent]
    else:
        found = completion_chunks_of(ours.StreamCompleteResponse.FromString(data))
        assert found == [read_completion(each) for each in sent]
    for each, event in zip(found, sent, strict=True):
        assert without_null_usage(each.raw) == without_null_usage(event)


def without_null_usage(event: Any) -> Any:
    """OpenAI writes "usage": null into every chunk but the last; a message has no field for that."""
    return {name: value for name, value in event.items() if name != "usage" or value is not None}


@pytest.mark.parametrize("case", ANSWERED, ids=name_of)
def test_a_recorded_answer_is_the_same_values(case: Case) -> None:
    if not case.streamed:
        check_answer(case.task, case.side.decode(case.body, CONTEXT))
        return
    for chunk in chunks_of(case, [case.sse]):
        check_chunk(case.task, chunk)
