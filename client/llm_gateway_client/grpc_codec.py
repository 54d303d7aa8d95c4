"""gRPC: the method and message of a call, and the values of an answer. Failures are in grpc_failure.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from llm_gateway_client import message_json, message_values
from llm_gateway_client.mlflow_dialects import answer_a, openai_body
from llm_gateway_client.openai_requests import chat_request, complete_request, embed_request
from llm_gateway_client.requests import Call
from llm_gateway_client.v1 import inference_pb2, routes_pb2
from llm_gateway_client.values import Json, RateLimit

# The page size: the most that the gateway returns at once.
_PAGE_SIZE = 1000
_INFERENCE = inference_pb2.DESCRIPTOR.services_by_name["InferenceService"]
_ROUTES = routes_pb2.DESCRIPTOR.services_by_name["RouteService"]


@dataclass(frozen=True, slots=True)
class Rpc:
    """One method. `encode` makes the request from a call's body, and raises InvalidRequest. `values_of` reads an
    answer: its value, or the list of values in one message of a stream."""

    path: str
    streams: bool
    answer_of: Callable[[bytes], Any]
    encode: Callable[[Json], Any]
    values_of: Callable[[Any], Any]


def rpc_of(call: Call[Any]) -> Rpc:
    if call.name == "Query":
        return _query(call.body)
    return _RPCS[f"Stream{call.name}" if call.stream else call.name]


def _rpc(service: ServiceDescriptor, name: str, encode: Callable[[Json], Any], values_of: Callable[[Any], Any]) -> Rpc:
    method = service.methods_by_name[name]
    answer = GetMessageClass(method.output_type)
    return Rpc(f"/{service.full_name}/{name}", method.server_streaming, answer.FromString, encode, values_of)


def _query(query: Json) -> Rpc:
    """MLflow's query as a typed call."""
    route, dialect = query["route"], query["dialect"]
    name, encode, json_of = _QUERIES[route.task]

    def answer_of(message: Any) -> dict[str, Any]:
        answer = json_of(message)
        return answer_a(answer, route.task) if dialect == "A" else answer

    return _rpc(_INFERENCE, name, lambda body: encode(openai_body(body["data"], dialect, route)), answer_of)


_QUERIES: dict[str, tuple[str, Callable[[Json], Any], Callable[[Any], dict[str, Any]]]] = {
    "chat": ("Chat", chat_request, message_json.chat_json),
    "completions": ("Complete", complete_request, message_json.completion_json),
    "embeddings": ("Embed", embed_request, message_json.embeddings_json),
}


def _spec(body: Json) -> routes_pb2.RouteSpec:
    model = body["model"]
    config = model.get("config")
    return routes_pb2.RouteSpec(
        name=body["name"],
        task=f"TASK_{body['task'].upper()}",
        model=routes_pb2.ModelSpec(
            provider=model.get("provider") or "",
            name=model.get("name") or "",
            config_json=json.dumps(config) if config else "",
        ),
        settings_json=json.dumps(body["settings"]) if body["settings"] else "",
    )


def _limit(limit: RateLimit) -> routes_pb2.RateLimit:
    unit = f"LIMIT_UNIT_{limit.unit.upper()}"
    if unit not in dict(routes_pb2.LimitUnit.items()):
        raise ValueError(f"Unknown unit {limit.unit!r} of a limit. Use requests, tokens or concurrent.")
    return routes_pb2.RateLimit(
        unit=unit, count=limit.count, per_seconds=limit.per_seconds, each_consumer=limit.each_consumer
    )


def _route_of(answer: Any) -> Any:
    return message_values.route_of(answer.route)


_RPCS: dict[str, Rpc] = {
    "Chat": _rpc(_INFERENCE, "Chat", chat_request, message_values.chat_of),
    "StreamChat": _rpc(_INFERENCE, "StreamChat", chat_request, message_values.chat_chunks_of),
    "Complete": _rpc(_INFERENCE, "Complete", complete_request, message_values.completion_of),
    "StreamComplete": _rpc(_INFERENCE, "StreamComplete", complete_request, message_values.completion_chunks_of),
    "Embed": _rpc(_INFERENCE, "Embed", embed_request, message_values.embeddings_of),
    "ListRoutes": _rpc(
        _ROUTES,
        "ListRoutes",
        lambda body: routes_pb2.ListRoutesRequest(page_size=_PAGE_SIZE, page_token=body["page_token"]),
        message_values.routes_of,
    ),
    "GetRoute": _rpc(_ROUTES, "GetRoute", lambda body: routes_pb2.GetRouteRequest(name=body["name"]), _route_of),
    "CreateRoute": _rpc(
        _ROUTES, "CreateRoute", lambda body: routes_pb2.CreateRouteRequest(route=_spec(body)), _route_of
    ),
    "UpdateRoute": _rpc(
        _ROUTES,
        "UpdateRoute",
        lambda body: routes_pb2.UpdateRouteRequest(route=_spec(body), etag=body["etag"]),
        _route_of,
    ),
    "DeleteRoute": _rpc(
        _ROUTES,
        "DeleteRoute",
        lambda body: routes_pb2.DeleteRouteRequest(name=body["name"], etag=body["etag"]),
        lambda _: None,
    ),
    "GetLimits": _rpc(
        _ROUTES, "GetLimits", lambda body: routes_pb2.GetLimitsRequest(route=body["route"]), message_values.limits_of
    ),
    "SetLimits": _rpc(
        _ROUTES,
        "SetLimits",
        lambda body: routes_pb2.SetLimitsRequest(
            route=body["route"], limits=[_limit(each) for each in body["limits"]], etag=body["etag"]
        ),
        message_values.limits_of,
    ),
}
