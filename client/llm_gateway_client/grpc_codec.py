"""gRPC: which RPC a call is, JSON -> its message, its answer -> JSON in the shape the client reads, and a status as an error.

Chat, completions and embeddings pass through the adapter of OpenAI's format, the very code that serves REST: so both ways
answer the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2, status_pb2

from adapters import FORMATS, GatewayError, Target, Task
from adapters.mlflow_client import CLIENT_B
from adapters.providers import PROVIDERS
from llm_gateway_client.errors import BadAnswer, Interrupted, SidecarError, TimedOut, Unreachable, of_kind
from llm_gateway_client.requests import Call
from llm_gateway_client.rest_codec import object_of
from llm_gateway_client.sse import Events
from llm_gateway_client.values import Json
from sidecar.v1 import inference_pb2_grpc, routes_pb2, routes_pb2_grpc

_SIDES = FORMATS["openai"].client
_PAGE_SIZE = 1000
_DOMAIN = "sidecar"
# What gRPC itself says before it has sent anything; such a call may be made again.
_NOT_CONNECTED = ("failed to connect", "connections to all backends failing", "dns resolution failed")
# A status without our details is gRPC's own, or the front's.
_KIND_OF_CODE = {
    "INVALID_ARGUMENT": "invalid_request",
    "UNAUTHENTICATED": "unauthenticated",
    "PERMISSION_DENIED": "permission_denied",
    "NOT_FOUND": "route_not_found",
    "ALREADY_EXISTS": "already_exists",
    "FAILED_PRECONDITION": "failed_precondition",
    "UNIMPLEMENTED": "method_not_allowed",
    "CANCELLED": "cancelled",
    "INTERNAL": "internal",
}


@dataclass(frozen=True, slots=True)
class Rpc:
    """How one call goes. `stub` is of `service`; `encode` and `decode` are inverse to what the server does."""

    service: Callable[[Any], Any]
    encode: Callable[[Json], Any]
    decode: Callable[[Any], Json]


def rpc_of(call: Call) -> tuple[Rpc, str]:
    """The RPC and its name on the stub."""
    if call.name == "Query":
        return _query(call.body)
    return _RPCS[call.name], f"Stream{call.name}" if call.stream else call.name


def chunks_of(call: Call, message: Any) -> list[Json]:
    """What REST would have sent for this chunk."""
    side = _SIDES[_TASKS[call.name]]
    assert side.encode_chunk is not None
    return [object_of(data) for data in Events().feed(side.encode_chunk(message, True))]


def refused(error: GatewayError, request_id: str) -> SidecarError:
    """The request was no valid one, in the same words as the gateway's."""
    return of_kind(error.kind.value, error.message, param=error.param, request_id=request_id)


def failure(error: grpc.RpcError, request_id: str, begun: bool) -> SidecarError:
    """`begun`: something of the answer came before."""
    code: str = error.code().name
    message: str = error.details() or f"The gateway answered {code}."
    trailers: dict[str, Any] = dict(error.trailing_metadata() or ())  # type: ignore[arg-type]
    kind, wait_s, param = _details(trailers.get("grpc-status-details-bin", b""))
    if kind is not None:
        pushback = trailers.get("grpc-retry-pushback-ms")
        may_retry = code in ("UNAVAILABLE", "RESOURCE_EXHAUSTED") and pushback != "-1" and not begun
        return of_kind(kind, message, retry_after_s=wait_s, request_id=request_id, param=param, may_retry=may_retry)
    return _own_failure(code, message, request_id, begun)


def _own_failure(code: str, message: str, request_id: str, begun: bool) -> SidecarError:
    if code == "DEADLINE_EXCEEDED":
        return TimedOut(message, kind="deadline_exceeded", grpc_code=code, request_id=request_id)
    if code == "UNAVAILABLE":
        if begun:
            return Interrupted(message, kind="upstream_interrupted", grpc_code=code, request_id=request_id)
        nothing_sent = any(words in message.lower() for words in _NOT_CONNECTED)
        return Unreachable(message, kind="unreachable", grpc_code=code, request_id=request_id, may_retry=nothing_sent)
    if code == "RESOURCE_EXHAUSTED":  # the channel's own limit of a message
        return BadAnswer(message, kind="malformed_answer", grpc_code=code, request_id=request_id)
    return of_kind(_KIND_OF_CODE.get(code, "internal"), message, request_id=request_id)


def _details(data: bytes | str) -> tuple[str | None, float | None, str | None]:
    """Kind, seconds to wait, member at fault."""
    kind: str | None = None
    wait_s: float | None = None
    param: str | None = None
    status = status_pb2.Status()
    try:
        status.ParseFromString(data if isinstance(data, bytes) else b"")
    except ValueError:
        return None, None, None
    info, retry, request = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        if detail.Unpack(info) and info.domain == _DOMAIN:
            kind = info.reason.lower()
        elif detail.Unpack(retry):
            wait_s = retry.retry_delay.ToMilliseconds() / 1000
        elif detail.Unpack(request) and request.field_violations:
            param = request.field_violations[0].field
    return kind, wait_s, param


_TASKS = {"Chat": Task.CHAT, "Complete": Task.COMPLETIONS, "Embed": Task.EMBEDDINGS}


def _inference(name: str) -> Rpc:
    side = _SIDES[_TASKS[name]]

    def encode(body: Json) -> Any:
        return side.decode_request(side.open(_written(body)))

    return Rpc(
        inference_pb2_grpc.InferenceServiceStub, encode, lambda message: object_of(side.encode_response(message))
    )


def _query(query: Json) -> tuple[Rpc, str]:
    """MLflow's query as the typed call it is; `query` is {"name", "dialect", "data", "task", "provider", "model"}."""
    task = Task(query["task"])
    side = FORMATS["mlflow-a"].client[task] if query["dialect"] == "A" else CLIENT_B[task]

    def encode(body: Json) -> Any:
        request = side.decode_request(replace(side.open(_written(body["data"])), model=body["name"]))
        provider = PROVIDERS.get(body["provider"])
        if side.fit is None or provider is None:
            return request
        return side.fit(request, Target(provider, body["model"], ""))

    def decode(message: Any) -> Json:
        return object_of(side.encode_response(message))

    name = next(name for name, each in _TASKS.items() if each is task)
    return Rpc(inference_pb2_grpc.InferenceServiceStub, encode, decode), name


def _written(body: Json) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _routes(encode: Callable[[Json], Any], decode: Callable[[Any], Json]) -> Rpc:
    return Rpc(routes_pb2_grpc.RouteServiceStub, encode, decode)


def _spec(body: Json) -> routes_pb2.RouteSpec:
    model = body["model"]
    config = model.get("config")
    return routes_pb2.RouteSpec(
        name=body["name"],
        task=f"TASK_{body['task'].upper()}",
        model=routes_pb2.ModelSpec(
            provider=model.get("provider", ""),
            name=model.get("name", ""),
            config_json=json.dumps(config) if config else "",
        ),
        settings_json=json.dumps(body["settings"]) if body["settings"] else "",
    )


def _route(route: routes_pb2.Route) -> Json:
    task = routes_pb2.Task.Name(route.task).removeprefix("TASK_").lower()
    return {
        "name": route.name,
        "task": task,
        "model": {"provider": route.model.provider, "name": route.model.name},
    }


def _limits(answer: Any) -> Json:
    return {
        "limits": [
            {
                "unit": routes_pb2.LimitUnit.Name(each.unit).removeprefix("LIMIT_UNIT_").lower(),
                "count": each.count,
                "per_seconds": each.per_seconds,
                "each_consumer": each.each_consumer,
            }
            for each in answer.limits
        ]
    }


def _limit(row: Json) -> routes_pb2.RateLimit:
    unit = f"LIMIT_UNIT_{row['unit'].upper()}"
    if unit not in dict(routes_pb2.LimitUnit.items()):
        raise ValueError(f"a limit counts requests, tokens or concurrent calls, not {row['unit']!r}")
    return routes_pb2.RateLimit(
        unit=unit, count=row["count"], per_seconds=row["per_seconds"], each_consumer=row["each_consumer"]
    )


_RPCS = {
    **{name: _inference(name) for name in _TASKS},
    "ListRoutes": _routes(
        lambda body: routes_pb2.ListRoutesRequest(page_size=_PAGE_SIZE, page_token=body["page_token"]),
        lambda answer: {
            "routes": [_route(each) for each in answer.routes],
            "next_page_token": answer.next_page_token,
        },
    ),
    "GetRoute": _routes(
        lambda body: routes_pb2.GetRouteRequest(name=body["name"]), lambda answer: _route(answer.route)
    ),
    "CreateRoute": _routes(
        lambda body: routes_pb2.CreateRouteRequest(route=_spec(body)), lambda answer: _route(answer.route)
    ),
    "UpdateRoute": _routes(
        lambda body: routes_pb2.UpdateRouteRequest(route=_spec(body)), lambda answer: _route(answer.route)
    ),
    "DeleteRoute": _routes(lambda body: routes_pb2.DeleteRouteRequest(name=body["name"]), MessageToDict),
    "GetLimits": _routes(lambda body: routes_pb2.GetLimitsRequest(route=body["route"]), _limits),
    "SetLimits": _routes(
        lambda body: routes_pb2.SetLimitsRequest(route=body["route"], limits=[_limit(row) for row in body["limits"]]),
        _limits,
    ),
}
