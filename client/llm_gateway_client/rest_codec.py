"""REST: the path and body of a call, and the values of an answer. Failures are in rest_failure.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from urllib.parse import quote, urlencode

from llm_gateway_client.errors import BadAnswer
from llm_gateway_client.json_values import read_chat, read_chat_chunk, read_completion, read_embeddings, read_route
from llm_gateway_client.mlflow_limits import read_limit, write_limit
from llm_gateway_client.requests import Call
from llm_gateway_client.values import Json, Limits, Route, RoutePage

T = TypeVar("T")
_PREFIX = "llm/v1/"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What to send. `path` starts with a slash; `body` None: none; `etag` "": whatever the version is."""

    method: str
    path: str
    body: Json | None = None
    etag: str = ""

    @property
    def content(self) -> bytes | None:
        return None if self.body is None else json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class _Path:
    """One operation: its request, and how its answer and each chunk are read."""

    request: Callable[[Json], HttpRequest]
    read: Callable[[Json], Any] = dict
    read_chunk: Callable[[Json], Any] | None = None


def request_of(call: Call[Any]) -> HttpRequest:
    return _PATHS[call.name].request(call.body)


def answer_of(call: Call[T], body: bytes) -> T:
    """Raises BadAnswer for anything but a JSON object."""
    if call.name == "DeleteRoute":  # the status is the answer
        return cast(T, None)
    return cast(T, _PATHS[call.name].read(object_of(body)))


def chunk_of(call: Call[T], chunk: Json) -> T:
    """Reads one event's JSON."""
    read = _PATHS[call.name].read_chunk
    assert read is not None, f"{call.name} has no stream"
    return cast(T, read(chunk))


def object_of(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BadAnswer("The answer is no JSON object: is this a gateway's address?", kind="malformed_answer")
    return value


def _post(path: str) -> Callable[[Json], HttpRequest]:
    return lambda body: HttpRequest("POST", path, body)


def _list(body: Json) -> HttpRequest:
    query = f"?{urlencode({'page_token': body['page_token']})}" if body["page_token"] else ""
    return HttpRequest("GET", f"/api/2.0/endpoints/{query}")


def _name(body: Json, member: str = "name") -> str:
    return quote(body[member], safe="")


def _spec(body: Json) -> dict[str, Any]:
    return {**body["settings"], "name": body["name"], "route_type": f"{_PREFIX}{body['task']}", "model": body["model"]}


def _read_route(route: Json) -> Route:
    task = route.get("endpoint_type", route.get("route_type", ""))
    return read_route({**route, "task": str(task).removeprefix(_PREFIX)})


def _read_routes(answer: Json) -> RoutePage:
    rows = answer.get("endpoints", answer.get("routes"))
    if not isinstance(rows, list):
        raise BadAnswer("The answer holds no list of routes.", kind="malformed_answer")
    return RoutePage(
        tuple(_read_route(each) for each in rows if isinstance(each, dict)), answer.get("next_page_token") or ""
    )


def _read_limits(answer: Json) -> Limits:
    rows = answer.get("limits")
    try:
        return (
            Limits(read_limit(each) for each in rows if isinstance(each, dict)) if isinstance(rows, list) else Limits()
        )
    except ValueError as error:
        raise BadAnswer(f"The answer holds what is not a limit. {error}", kind="malformed_answer") from None


_PATHS: dict[str, _Path] = {
    "Chat": _Path(_post("/v1/chat/completions"), read_chat, read_chat_chunk),
    "Complete": _Path(_post("/v1/completions"), read_completion, read_completion),
    "Embed": _Path(_post("/v1/embeddings"), read_embeddings),
    "ListRoutes": _Path(_list, _read_routes),
    "GetRoute": _Path(lambda body: HttpRequest("GET", f"/api/2.0/endpoints/{_name(body)}"), _read_route),
    "CreateRoute": _Path(lambda body: HttpRequest("POST", "/api/2.0/gateway/routes/", _spec(body)), _read_route),
    "UpdateRoute": _Path(
        lambda body: HttpRequest("PATCH", f"/api/2.0/gateway/routes/{_name(body)}", _spec(body), body["etag"]),
        _read_route,
    ),
    "DeleteRoute": _Path(
        lambda body: HttpRequest("DELETE", f"/api/2.0/gateway/routes/{_name(body)}", etag=body["etag"])
    ),
    "GetLimits": _Path(
        lambda body: HttpRequest("GET", f"/api/2.0/gateway/limits/{_name(body, 'route')}"), _read_limits
    ),
    "SetLimits": _Path(
        lambda body: HttpRequest(
            "POST",
            "/api/2.0/gateway/limits/",
            {"route": body["route"], "limits": [write_limit(each) for each in body["limits"]]},
            body["etag"],
        ),
        _read_limits,
    ),
    "Query": _Path(
        lambda body: HttpRequest(
            "POST", f"/{'gateway' if body['dialect'] == 'A' else 'endpoints'}/{_name(body)}/invocations", body["data"]
        )
    ),
}
