"""What two gateways did with a request, as paths of values that can be compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from tests.mlflow.cases import Case
from tests.provider import Call, Provider

HTTP_S = 60.0
_AUTH = ("authorization", "api-key", "x-api-key")
# Differ from call to call: the provider counts its answers, gateways make ids of their own.
_FRESH = ("id", "created")
ABSENT = "(absent)"


@dataclass(frozen=True, slots=True)
class Difference:
    """One value: `field` is its path, such as json.candidates.0.text or upstream.0.body.n."""

    version: str
    case: str
    field: str
    theirs: Any
    ours: Any


def done(client: httpx.Client, case: Case, agent: str, provider: Provider) -> dict[str, Any]:
    """What became of the request: status, json, upstream."""
    before = len(provider.calls)
    body = case.body if isinstance(case.body, bytes) or case.body is None else json.dumps(case.body).encode()
    headers = {"user-agent": agent, **({} if body is None else {"content-type": "application/json"}), **case.headers}
    with client.stream(case.verb, case.path, content=body, headers=headers) as answer:
        value = _read(answer)
    return {
        "status": answer.status_code,
        "json": value,
        "upstream": [_sent(call) for call in provider.calls[before:]],
    }


def _read(answer: httpx.Response) -> Any:
    try:
        answer.read()
    except httpx.RemoteProtocolError:
        return "(cut off)"
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        events = [line[6:] for line in answer.text.split("\n") if line.startswith("data: ")]
        return {"events": [each if each == "[DONE]" else json.loads(each) for each in events]}
    try:
        return answer.json()
    except ValueError:
        return answer.text


def _sent(call: Call) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in call.header_list}
    return {
        "target": call.target,
        "auth": {name: headers[name] for name in _AUTH if name in headers},
        "body": call.json,
    }


def differences(version: str, case: str, theirs: dict[str, Any], ours: dict[str, Any]) -> list[Difference]:
    left, right = dict(_leaves(theirs)), dict(_leaves(ours))
    fields = list(dict.fromkeys((*left, *right)))
    return [
        Difference(version, case, field, left.get(field, ABSENT), right.get(field, ABSENT))
        for field in fields
        if left.get(field, ABSENT) != right.get(field, ABSENT)
    ]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    items: Iterator[tuple[str, Any]]
    if isinstance(value, dict) and value:
        items = ((str(name), each) for name, each in value.items())
    elif isinstance(value, list) and value:
        items = ((str(index), each) for index, each in enumerate(value))
    else:
        yield path, value
        return
    for name, each in items:
        at = f"{path}.{name}" if path else name
        if name in _FRESH and path in ("json", *(f"json.events.{index}" for index in range(100))):
            yield at, "(fresh)"
        else:
            yield from _leaves(each, at)
