"""Describes an invalid request as MLflow's own servers do: FastAPI's list of problems with pydantic 2's types and
texts.

https://docs.pydantic.dev/latest/errors/validation_errors/. As observed with MLflow 2.8.1 and 3.17.2, without the
`url` member.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from adapters.errors import GatewayError, Kind

Loc = tuple[str | int, ...]
# The input is repeated so that people recognise it; a whole prompt would not help.
_INPUT_BYTES_MAX = 1000
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


class Violations(GatewayError):
    """An invalid_request with a list of problems. `detail` is the list, ready for JSON."""

    def __init__(self, detail: list[dict[str, Any]]) -> None:
        first = detail[0]
        where = ".".join(str(step) for step in first["loc"][1:])
        super().__init__(
            Kind.INVALID_REQUEST, f"{where}: {first['msg']}" if where else first["msg"], param=where or None
        )
        self.detail = detail


def violation(type_: str, loc: Loc, msg: str, value: Any, **ctx: Any) -> dict[str, Any]:
    out: dict[str, Any] = {"type": type_, "loc": ["body", *loc], "msg": msg}
    try:
        if len(msgspec.json.encode(value)) <= _INPUT_BYTES_MAX:
            out["input"] = value
    except UnicodeEncodeError:  # a lone surrogate, which answers cannot contain
        pass
    return {**out, "ctx": ctx} if ctx else out


def missing(loc: Loc, siblings: Any) -> dict[str, Any]:
    return violation("missing", loc, "Field required", siblings)


def no_object(body: bytes) -> Violations:
    """For a body that is not one JSON object."""
    if not body:
        return Violations([missing((), None)])
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        at, why = (error.pos, error.msg) if isinstance(error, json.JSONDecodeError) else (0, "Expecting value")
        return Violations([violation("json_invalid", (at,), "JSON decode error", {}, error=why)])
    text = "Input should be a valid dictionary or object to extract fields from"
    return Violations([violation("model_attributes_type", (), text, value)])


def detail_of(error: GatewayError) -> list[dict[str, Any]] | str:
    """The `detail` of an answer: a list for an invalid request, otherwise a text."""
    if isinstance(error, Violations):
        return error.detail
    if error.kind is Kind.INVALID_REQUEST and error.status is None and error.param:
        return [{"type": "value_error", "loc": ["body", *_loc(error.param)], "msg": error.message}]
    return error.message


def _loc(param: str) -> Loc:
    """messages[0].content -> ("messages", 0, "content")."""
    return tuple(name if name else int(index) for name, index in _STEP.findall(param))
