"""REST: which path a call is, its body there, and an answer's or a failure's body in the shape the client reads."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from llm_gateway_client.errors import BadAnswer, SidecarError, Unreachable, kind_of_http, of_kind
from llm_gateway_client.requests import Call
from llm_gateway_client.values import Json, RateLimit

# A page of an intermediary's apology is no use beyond its beginning.
_TEXT_CHARS_MAX = 500
# The front's own word for a core that died under the call, which may have reached the provider.
_CORE_GONE = "core_unavailable"
_PREFIX = "llm/v1/"
_PERIODS_S = {"month": 2_678_400, "day": 86_400, "hour": 3600, "minute": 60, "second": 1}
_PERIOD = re.compile(rf"(?:(\d{{1,7}}) ?)?({'|'.join(_PERIODS_S)})s?")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What to send. `path` starts with a slash; `body` None: none."""

    method: str
    path: str
    body: Json | None = None

    @property
    def content(self) -> bytes | None:
        return None if self.body is None else json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class _Path:
    request: Callable[[Json], HttpRequest]
    read: Callable[[Json], Json] = dict


def request_of(call: Call) -> HttpRequest:
    return _PATHS[call.name].request(call.body)


def answer_of(call: Call, body: bytes) -> Json:
    """Raises BadAnswer for what is no JSON object."""
    if call.name == "DeleteRoute":  # nothing to say beyond the status
        return {}
    return _PATHS[call.name].read(object_of(body))


def object_of(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise BadAnswer("The answer is no JSON object: is this a gateway's address?", kind="malformed_answer")
    return value


def failure(status: int, headers: Mapping[str, str], body: bytes, request_id: str) -> SidecarError:
    """`headers` by lower-case names. Every body makes an error: JSON of OpenAI's or MLflow's shape, or none of these."""
    words = _words(body)
    code, param = _text(words.get("code")), _text(words.get("param"))
    request_id = headers.get("x-request-id", request_id)
    if code == _CORE_GONE:
        return Unreachable(str(words.get("message")), kind="unreachable", http_status=status, request_id=request_id)
    kind = kind_of_http(status, code, _text(words.get("type")))
    error = of_kind(
        kind,
        _text(words.get("message")) or f"The gateway answered with HTTP {status}.",
        retry_after_s=_seconds(headers.get("retry-after")),
        request_id=request_id,
        param=param,
        code=code,
        may_retry=status in (429, 503) and headers.get("x-should-retry") != "false",
    )
    error.http_status = status
    return error


def failure_in_stream(event: Json, request_id: str) -> SidecarError:
    """An `error` event: the answer had begun."""
    words = event["error"] if isinstance(event["error"], dict) else {"message": str(event["error"])}
    return of_kind(
        "upstream_interrupted",
        _text(words.get("message")) or "The answer broke off.",
        request_id=request_id,
        param=_text(words.get("param")),
        code=_text(words.get("code")),
    )


def _words(body: bytes) -> Json:
    """message, type, param, code: whichever there are."""
    try:
        value = json.loads(body)
    except ValueError:
        return {"message": body[: 4 * _TEXT_CHARS_MAX].decode("utf-8", "replace")[:_TEXT_CHARS_MAX].strip()}
    if not isinstance(value, dict):
        return {}
    error = value.get("error", value.get("detail"))
    if isinstance(error, dict):
        return error
    if isinstance(error, list):  # FastAPI's list of problems
        problems = [each for each in error if isinstance(each, dict)]
        where = [_param(each.get("loc")) for each in problems]
        return {
            "message": "; ".join(f"{at}: {each.get('msg')}" for at, each in zip(where, problems, strict=True)),
            "param": where[0] if where else None,
        }
    return {"message": error} if isinstance(error, str) else {}


def _param(loc: Any) -> str:
    """["body", "messages", 0] -> messages.0."""
    return ".".join(str(step) for step in loc[1:]) if isinstance(loc, list) else ""


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _seconds(value: str | None) -> float | None:
    try:
        return max(0.0, float(value)) if value is not None else None
    except ValueError:  # a date: nobody between here and the gateway writes one
        return None


def _post(path: str) -> Callable[[Json], HttpRequest]:
    return lambda body: HttpRequest("POST", path, body)


def _list(body: Json) -> HttpRequest:
    query = f"?{urlencode({'page_token': body['page_token']})}" if body["page_token"] else ""
    return HttpRequest("GET", f"/api/2.0/endpoints/{query}")


def _name(body: Json, member: str = "name") -> str:
    return quote(body[member], safe="")


def _spec(body: Json) -> dict[str, Any]:
    return {**body["settings"], "name": body["name"], "route_type": f"{_PREFIX}{body['task']}", "model": body["model"]}


def _read_route(route: Json) -> Json:
    task = route.get("endpoint_type", route.get("route_type", ""))
    return {"name": route.get("name"), "task": str(task).removeprefix(_PREFIX), "model": route.get("model")}


def _read_routes(answer: Json) -> Json:
    rows = answer.get("endpoints", answer.get("routes"))
    if not isinstance(rows, list):
        raise BadAnswer("The answer holds no list of routes.", kind="malformed_answer")
    return {
        "routes": [_read_route(each) for each in rows if isinstance(each, dict)],
        "next_page_token": answer.get("next_page_token") or "",
    }


def _write_limits(body: Json) -> HttpRequest:
    rows = [write_limit(RateLimit(**each)) for each in body["limits"]]
    return HttpRequest("POST", "/api/2.0/gateway/limits/", {"route": body["route"], "limits": rows})


def write_limit(limit: RateLimit) -> dict[str, Any]:
    """In MLflow's member names, which know calls only. Raises ValueError for another limit."""
    if limit.unit != "requests" or limit.per_seconds < 1:
        raise ValueError("MLflow's limits count requests in a time; set_limits of a Client on gRPC sets the others")
    word, size = next(row for row in _PERIODS_S.items() if limit.per_seconds % row[1] == 0)
    many = limit.per_seconds // size
    return {
        "calls": limit.count,
        "key": "user" if limit.each_consumer else "route",
        "renewal_period": word if many == 1 else f"{many} {word}s",
    }


def _read_limits(answer: Json) -> Json:
    rows = answer.get("limits")
    return {"limits": [read_limit(each) for each in rows if isinstance(each, dict)] if isinstance(rows, list) else []}


def read_limit(row: Json) -> dict[str, Any]:
    """RateLimit's fields, of MLflow's. Raises ValueError for what is none."""
    found = _PERIOD.fullmatch(str(row.get("renewal_period")))
    if found is None or not isinstance(row.get("calls"), int):
        raise ValueError("a limit has calls and a renewal_period such as minute or 10 minutes")
    return {
        "unit": "requests",
        "count": row["calls"],
        "per_seconds": int(found[1] or 1) * _PERIODS_S[found[2]],
        "each_consumer": row.get("key") == "user",
    }


_PATHS: dict[str, _Path] = {
    "Chat": _Path(_post("/v1/chat/completions")),
    "Complete": _Path(_post("/v1/completions")),
    "Embed": _Path(_post("/v1/embeddings")),
    "ListRoutes": _Path(_list, _read_routes),
    "GetRoute": _Path(lambda body: HttpRequest("GET", f"/api/2.0/endpoints/{_name(body)}"), _read_route),
    "CreateRoute": _Path(lambda body: HttpRequest("POST", "/api/2.0/gateway/routes/", _spec(body)), _read_route),
    "UpdateRoute": _Path(
        lambda body: HttpRequest("PATCH", f"/api/2.0/gateway/routes/{_name(body)}", _spec(body)), _read_route
    ),
    "DeleteRoute": _Path(lambda body: HttpRequest("DELETE", f"/api/2.0/gateway/routes/{_name(body)}")),
    "GetLimits": _Path(
        lambda body: HttpRequest("GET", f"/api/2.0/gateway/limits/{_name(body, 'route')}"), _read_limits
    ),
    "SetLimits": _Path(_write_limits, _read_limits),
    # MLflow's query: {"name", "dialect", "data"}.
    "Query": _Path(
        lambda body: HttpRequest(
            "POST", f"/{'gateway' if body['dialect'] == 'A' else 'endpoints'}/{_name(body)}/invocations", body["data"]
        )
    ),
}
