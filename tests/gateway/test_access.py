"""Consumer x route x call of either service: a route that a consumer may not call cannot be told from one that does not exist.

The rows come from the services' descriptors. A call that is new fails `test_every_call_of_both_services_stands_here` until it is
written down below.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message

from adapters import Task
from sidecar.domain.snapshot import Consumer, Snapshot
from sidecar.v1 import inference_pb2, inference_pb2_grpc, rest_pb2, rest_pb2_grpc, routes_pb2, routes_pb2_grpc
from tests.provider import Provider
from tests.worker.running import WorkerProcess, route, snapshot
from tests.worker.test_rest import read

OPEN, HIDDEN, ABSENT = "open-%s", "hide-%s", "none-%s"  # of one length, so that sizes compare too
CHAT, COMPLETIONS, EMBEDDINGS = "chat", "completions", "embeddings"
# front user -> whether it sees the open and the hidden routes. "local" is a user here, and must not become the stubs' consumer.
SEES = {
    "all": (True, True),
    "some": (True, False),
    "denied": (True, False),
    "nothing": (False, False),
    "unnamed": (False, False),
    "local": (False, False),
}
CONSUMERS = (
    Consumer("c-all", ("all",)),
    Consumer("c-some", ("some",), allow=("open-*", "none-*")),
    Consumer("c-denied", ("denied",), deny=("hide-*",)),
    Consumer("c-nothing", ("nothing",), allow=()),
    Consumer("stubs", local=True, allow=("open-*",)),
)
_RequestOf = Callable[[str], Message]


@dataclass(frozen=True)
class Row:
    """A call: its request for a route of a task. `admin`: refused to everybody here, and to all in the same words."""

    task: str
    request: _RequestOf
    admin: bool = False
    list: bool = False
    split: bool = False  # finds traffic splits only, which no route here is


def _body(**members: Any) -> HttpBody:
    return HttpBody(content_type="application/json", data=json.dumps(members).encode())


_MESSAGES = [{"role": "user", "content": "hi"}]
_SPEC = {"route_type": "llm/v1/chat", "model": {"provider": "ollama", "name": "m"}}
_METHODS = frozenset(method.name for method in rest_pb2.DESCRIPTOR.services_by_name["RestService"].methods)
REST = {
    "ChatCompletions": Row(CHAT, lambda name: _body(model=name, messages=_MESSAGES)),
    "Completions": Row(COMPLETIONS, lambda name: _body(model=name, prompt="hi")),
    "Embeddings": Row(EMBEDDINGS, lambda name: _body(model=name, input="hi")),
    "CreateMessage": Row(
        CHAT,
        lambda name: rest_pb2.CreateMessageRequest(body=_body(model=name, max_tokens=9, messages=_MESSAGES)),
    ),
    "AzureChatCompletions": Row(
        CHAT, lambda name: rest_pb2.AzureDeploymentRequest(route=name, body=_body(messages=_MESSAGES))
    ),
    "AzureCompletions": Row(
        COMPLETIONS, lambda name: rest_pb2.AzureDeploymentRequest(route=name, body=_body(prompt="hi"))
    ),
    "AzureEmbeddings": Row(
        EMBEDDINGS, lambda name: rest_pb2.AzureDeploymentRequest(route=name, body=_body(input="hi"))
    ),
    "CreateResponse": Row(CHAT, lambda name: _body(model=name, input="hi")),
    "CountResponseTokens": Row(CHAT, lambda name: _body(model=name, input="hi")),
    # Only OpenAI's own models can, which no route here is.
    "CompactResponse": Row(CHAT, lambda name: _body(model=name, input="hi"), split=True),
    "CountMessageTokens": Row(
        CHAT, lambda name: rest_pb2.CountMessageTokensRequest(body=_body(model=name, messages=_MESSAGES))
    ),
    "ListModels": Row(CHAT, lambda name: rest_pb2.ListModelsRequest(), list=True),
    "GetModel": Row(CHAT, lambda name: rest_pb2.GetModelRequest(id=name)),
    "ListMlflowRoutes": Row(CHAT, lambda name: rest_pb2.ListMlflowRoutesRequest(), list=True),
    "CreateMlflowRoute": Row(CHAT, lambda name: _body(name=name, **_SPEC), admin=True),
    "GetMlflowRoute": Row(CHAT, lambda name: rest_pb2.GetMlflowRouteRequest(name=name)),
    "UpdateMlflowRoute": Row(
        CHAT, lambda name: rest_pb2.UpdateMlflowRouteRequest(name=name, body=_body(name=name, **_SPEC)), admin=True
    ),
    "DeleteMlflowRoute": Row(CHAT, lambda name: rest_pb2.DeleteMlflowRouteRequest(name=name), admin=True),
    "QueryMlflowRoute": Row(
        CHAT, lambda name: rest_pb2.QueryMlflowRouteRequest(name=name, body=_body(messages=_MESSAGES))
    ),
    "ListMlflowEndpoints": Row(CHAT, lambda name: rest_pb2.ListMlflowEndpointsRequest(), list=True),
    "GetMlflowEndpoint": Row(CHAT, lambda name: rest_pb2.GetMlflowEndpointRequest(name=name)),
    "QueryMlflowEndpoint": Row(
        EMBEDDINGS, lambda name: rest_pb2.QueryMlflowEndpointRequest(name=name, body=_body(input="hi"))
    ),
    "GetMlflowTrafficRoute": Row(CHAT, lambda name: rest_pb2.GetMlflowTrafficRouteRequest(name=name), split=True),
    "GetMlflowLimits": Row(CHAT, lambda name: rest_pb2.GetMlflowLimitsRequest(route=name)),
    "SetMlflowLimits": Row(CHAT, lambda name: _body(route=name, limits=[]), admin=True),
    "InvokeMlflow": Row(CHAT, lambda name: rest_pb2.InvokeMlflowRequest(name=name, body=_body(messages=_MESSAGES))),
    "GetOpenApi": Row(CHAT, lambda name: rest_pb2.GetOpenApiRequest(), list=True),
    "OpenRoot": Row(CHAT, lambda name: rest_pb2.OpenRootRequest(), list=True),
}
_TYPED_MESSAGE = inference_pb2.Message(role=inference_pb2.ROLE_USER, content=[inference_pb2.ContentPart(text="hi")])
_TYPED_SPEC = routes_pb2.RouteSpec(task=routes_pb2.TASK_CHAT, model=routes_pb2.ModelSpec(provider="ollama", name="m"))


def _spec(name: str) -> routes_pb2.RouteSpec:
    spec = routes_pb2.RouteSpec()
    spec.CopyFrom(_TYPED_SPEC)
    spec.name = name
    return spec


def _chat(name: str) -> Message:
    return inference_pb2.ChatRequest(route=name, messages=[_TYPED_MESSAGE])


def _complete(name: str) -> Message:
    return inference_pb2.CompleteRequest(route=name, prompts=[inference_pb2.Prompt(text="hi")])


TYPED = {
    "Chat": Row(CHAT, _chat),
    "StreamChat": Row(CHAT, _chat),
    "Complete": Row(COMPLETIONS, _complete),
    "StreamComplete": Row(COMPLETIONS, _complete),
    "Embed": Row(
        EMBEDDINGS,
        lambda name: inference_pb2.EmbedRequest(route=name, inputs=[inference_pb2.EmbedInput(text="hi")]),
    ),
    "ListRoutes": Row(CHAT, lambda name: routes_pb2.ListRoutesRequest(), list=True),
    "GetRoute": Row(CHAT, lambda name: routes_pb2.GetRouteRequest(name=name)),
    "CreateRoute": Row(CHAT, lambda name: routes_pb2.CreateRouteRequest(route=_spec(name)), admin=True),
    "UpdateRoute": Row(CHAT, lambda name: routes_pb2.UpdateRouteRequest(route=_spec(name)), admin=True),
    "DeleteRoute": Row(CHAT, lambda name: routes_pb2.DeleteRouteRequest(name=name), admin=True),
    "GetLimits": Row(CHAT, lambda name: routes_pb2.GetLimitsRequest(route=name)),
    "ListUpstreams": Row(CHAT, lambda name: routes_pb2.ListUpstreamsRequest(route=name)),
    "SetLimits": Row(CHAT, lambda name: routes_pb2.SetLimitsRequest(route=name), admin=True),
}
# Calls that know no route: what they answer depends on nobody's rights.
NO_ROUTE = frozenset(
    {
        "ConnectResponses",
        "GetResponse",
        "DeleteResponse",
        "CancelResponse",
        "CreateConversation",
        "ListResponseInputItems",
        "Health",
        "GetHomeFile",
        "OpenDocs",
        "GetDocsFile",
    }
)
# Calls of the matrix that begin one, and are counted by their route; opening the body comes first.
COUNTED_TYPED = {"Chat", "StreamChat", "Complete", "StreamComplete", "Embed"}


def test_every_call_of_both_services_stands_here() -> None:
    assert {*REST, *NO_ROUTE} == _METHODS
    typed = {
        method.name
        for file, service in ((inference_pb2, "InferenceService"), (routes_pb2, "RouteService"))
        for method in file.DESCRIPTOR.services_by_name[service].methods
    }
    assert typed == set(TYPED)


@dataclass(frozen=True)
class Seen:
    """All that a caller can see of an answer, its own words about the name taken out."""

    status: object
    headers: tuple[tuple[str, str], ...]
    body: bytes
    size: int
    good: bool

    @staticmethod
    def of(status: object, headers: Any, body: bytes, name: str, good: bool) -> Seen:
        shown = tuple(sorted((key, str(value).replace(name, "NAME")) for key, value in headers))
        return Seen(status, shown, body.replace(name.encode(), b"NAME"), len(body), good)


class Matrix:
    """A worker with open and hidden routes of each task, asked as the front asks it, or a stub."""

    def __init__(self, worker: WorkerProcess) -> None:
        self.worker = worker
        front = worker.front_channel()
        self._front = self._stubs(front)
        self._direct = self._stubs(worker.local_channel())

    @staticmethod
    def _stubs(channel: Any) -> dict[str, Any]:
        inference, routes = inference_pb2_grpc.InferenceServiceStub(channel), routes_pb2_grpc.RouteServiceStub(channel)
        rest = rest_pb2_grpc.RestServiceStub(channel)
        found = {name: getattr(rest, name) for name in REST}
        return found | {name: getattr(inference, name, None) or getattr(routes, name) for name in TYPED}

    async def ask(self, call: str, row: Row, user: str | None, name: str) -> Seen:
        """`user` None: over the local gRPC socket."""
        metadata = (("x-request-id", "access-test-1"), *(() if user is None else (("x-sidecar-user", user),)))
        method = (self._direct if user is None else self._front)[call]
        if call in REST:
            http = await read(method(row.request(name), metadata=metadata))
            return Seen.of(http.status, http.headers.items(), http.body, name, http.status == 200)
        running = method(row.request(name), metadata=metadata)
        try:
            if call.startswith("Stream"):
                body = b"".join([piece.SerializeToString() async for piece in running])
            else:
                body = (await running).SerializeToString()
        except grpc.aio.AioRpcError as error:
            trailing: Any = error.trailing_metadata() or ()
            return Seen.of(error.code(), trailing, (error.details() or "").encode(), name, False)
        return Seen.of(grpc.StatusCode.OK, (), body, name, True)


def _snapshot(base_url: str) -> Snapshot:
    routes = [
        route(pattern % task, Task(task), base_url)
        for pattern in (OPEN, HIDDEN)
        for task in (CHAT, COMPLETIONS, EMBEDDINGS)
    ]
    made = snapshot(routes)
    return Snapshot(made.routes, made.hash, consumers=CONSUMERS)


@pytest.fixture
async def matrix(provider: Provider) -> AsyncIterator[Matrix]:
    async with WorkerProcess(_snapshot(provider.base_url), metrics=True) as worker:
        yield Matrix(worker)


def _cells() -> Iterator[tuple[str, Row, str | None, bool, bool]]:
    """Call, row, user, and which routes it sees; last the stubs."""
    for call, row in {**REST, **TYPED}.items():
        for user, (sees_open, sees_hidden) in SEES.items():
            yield call, row, user, sees_open, sees_hidden
        if call in TYPED:
            yield call, row, None, True, False


async def test_what_may_not_be_called_does_not_exist(matrix: Matrix) -> None:
    """All cells in one worker: some 400 calls."""
    wrong = []
    for call, row, user, sees_open, sees_hidden in _cells():
        hidden = await matrix.ask(call, row, user, HIDDEN % row.task)
        absent = await matrix.ask(call, row, user, ABSENT % row.task)
        opened = await matrix.ask(call, row, user, OPEN % row.task)
        if row.list:
            want = [OPEN % task for task in (CHAT, COMPLETIONS, EMBEDDINGS) if sees_open]
            want += [HIDDEN % task for task in (CHAT, COMPLETIONS, EMBEDDINGS) if sees_hidden]
            names = [pattern % task for pattern in (OPEN, HIDDEN) for task in (CHAT, COMPLETIONS, EMBEDDINGS)]
            body = (await matrix.ask(call, row, user, "no name")).body
            right = opened.good and [name for name in names if name.encode() in body] == want
        elif row.admin or row.split:
            right = not opened.good and not hidden.good and (sees_hidden or hidden == absent)
        else:
            right = opened.good is sees_open and hidden.good is sees_hidden and not absent.good
            right = right and (sees_hidden or hidden == absent) and (sees_open or opened == absent)
        if not right:
            wrong.append((call, user, opened, hidden, absent))
    assert wrong == []


async def test_a_hidden_route_is_counted_as_unknown_like_one_that_does_not_exist(matrix: Matrix) -> None:
    for call in sorted(COUNTED_TYPED | {"ChatCompletions", "Completions", "Embeddings", "QueryMlflowRoute"}):
        row = {**REST, **TYPED}[call]
        for name in (HIDDEN, ABSENT, OPEN):
            await matrix.ask(call, row, "some", name % row.task)
    labels = {
        (sample.labels["route"], sample.labels["outcome"])
        for family in matrix.worker.counted()
        if family.name == "sidecar_requests"
        for sample in family.samples
    }
    assert labels == {
        ("unknown", "route_not_found"),
        *((OPEN % task, "ok") for task in (CHAT, COMPLETIONS, EMBEDDINGS)),
    }


async def test_the_comparison_can_tell_two_answers_apart(matrix: Matrix) -> None:
    row = REST["GetModel"]
    hidden = await matrix.ask("GetModel", row, "some", HIDDEN % CHAT)
    assert hidden == await matrix.ask("GetModel", row, "some", ABSENT % CHAT)
    assert hidden != await matrix.ask("GetModel", row, "some", "longer-than-" + ABSENT % CHAT)
    assert hidden != await matrix.ask("GetModel", row, "all", HIDDEN % CHAT)


async def test_a_new_configuration_changes_what_is_seen_from_the_next_call_on(
    matrix: Matrix, provider: Provider
) -> None:
    row = REST["GetModel"]
    before = await matrix.ask("GetModel", row, "some", HIDDEN % CHAT)
    made = _snapshot(provider.base_url)
    consumers = (Consumer("c-some", ("some",), allow=("hide-*",)),)
    await matrix.worker.reload(Snapshot(made.routes, "111111111111", consumers=consumers))
    after = [(await matrix.ask("GetModel", row, "some", name % CHAT)).good for name in (HIDDEN, OPEN)]
    assert (before.good, after) == (False, [True, False])
    assert not (await matrix.ask("GetRoute", TYPED["GetRoute"], None, OPEN % CHAT)).good
