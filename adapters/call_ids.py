"""Gives ids to tool calls of a history that have none or a repeated one: some providers give no ids, some start
over in each turn. Results refer to calls by id, and Anthropic requires unique ids ("`tool_use` ids must be
unique").

A result belongs to the oldest preceding call with its id that has no result yet; a result without an id to the
oldest of all.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from adapters.copies import copied
from adapters.json_object import MALFORMED
from sidecar.v1 import inference_pb2 as pb

_EMPTY = re.compile(rb'"(?:tool_call_)?id"\s*:\s*""')
_MESSAGES = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_IDS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


class _Ids:
    """Walks along a history. `open` are the calls without a result: their original id, and the one they get."""

    def __init__(self, unique: bool) -> None:
        self._unique = unique
        self._used: set[str] = set()
        self._made = 0
        self._open: list[tuple[str, str]] = []

    def of_call(self, id_: str) -> str:
        goes = id_
        while not goes or (self._unique and goes in self._used):
            self._made += 1
            goes = f"{id_ or 'call'}_{self._made}"
        self._used.add(goes)
        self._open.append((id_, goes))
        return goes

    def of_result(self, id_: str) -> str:
        for pair in self._open:
            if pair[0] == id_ or not id_:
                self._open.remove(pair)
                return pair[1]
        return id_


def identified(request: pb.ChatRequest, *, unique: bool) -> pb.ChatRequest:
    """Returns the request, or a copy in which every call has an id, which is unique if `unique` is set."""
    ids = [call.id for message in request.messages for call in message.tool_calls]
    if not ids or (all(ids) and not (unique and len(set(ids)) < len(ids)) and not _has_nameless_results(request)):
        return request
    out = copied(request)
    walk = _Ids(unique)
    for message in out.messages:
        for call in message.tool_calls:
            call.id = walk.of_call(call.id)
        if message.role == pb.ROLE_TOOL:
            message.tool_call_id = walk.of_result(message.tool_call_id)
    return out


def _has_nameless_results(request: pb.ChatRequest) -> bool:
    return any(message.role == pb.ROLE_TOOL and not message.tool_call_id for message in request.messages)


def identified_in_body(raw: bytes) -> bytes:
    """The same for `messages` of a body that passes through, for empty ids; other members keep their bytes."""
    if _EMPTY.search(raw) is None or b'"tool_calls"' not in raw:
        return raw
    walk = _Ids(unique=False)
    try:
        messages = _MESSAGES.decode(raw)
        for message in messages:
            if bytes(message.get("tool_calls", b"")).startswith(b"["):
                calls: list[dict[str, Any]] = [dict(call) for call in _IDS.decode(message["tool_calls"])]
                for call in calls:
                    call["id"] = walk.of_call(_text(call.get("id")))
                message["tool_calls"] = msgspec.Raw(msgspec.json.encode(calls))
            if bytes(message.get("role", b"")) == b'"tool"':
                id_ = walk.of_result(_text(message.get("tool_call_id")))
                message["tool_call_id"] = msgspec.Raw(msgspec.json.encode(id_))
    except MALFORMED:
        return raw
    return msgspec.json.encode(messages)


def _text(raw: msgspec.Raw | None) -> str:
    return "" if raw is None or bytes(raw) == b"null" else msgspec.json.decode(raw, type=str)
