"""Decodes a caller's Messages body without loss: what only this format knows is kept in extra_json.

`fit_request` derives what another provider can accept; `foreign` reports what it cannot.
"""

from __future__ import annotations

import msgspec

from adapters.anthropic.read_turns import read_turn, read_words
from adapters.contract import Envelope
from adapters.json_object import OBJECTS, Obj, array_items, decoded_string, object_text, of_request
from sidecar.v1 import inference_pb2 as pb

_CLIENT_TOOL = frozenset({"", "custom"})  # of `type`; every other type is one of the provider's own tools
_MODES = {
    "auto": pb.ToolChoice.MODE_AUTO,
    "any": pb.ToolChoice.MODE_REQUIRED,
    "none": pb.ToolChoice.MODE_NONE,
}
# OpenAI's format requires a name for a schema; this one has none.
SCHEMA_NAME = "answer"


def decode_request(envelope: Envelope) -> pb.ChatRequest:
    """Raises invalid_request, with the path, for what is malformed."""
    obj = Obj(b"{}", "", of_request)
    obj.members = {n: msgspec.Raw(raw) for n, raw in envelope.members.items() if n not in ("model", "stream")}
    request = pb.ChatRequest(route=envelope.model)
    if (system := obj.take("system")) is not None:
        message = pb.Message(role=pb.ROLE_SYSTEM)
        read_words(system, "system", message)
        if message.content:
            request.messages.append(message)
    turns = obj.array("messages")
    if not turns:
        raise of_request("messages", "an array with at least one message")
    for raw, path in turns:
        request.messages.extend(read_turn(Obj(raw, path, of_request)))
    for raw, path in obj.array("tools") or ():
        request.tools.append(_tool(raw, path))
    _read_choice(obj, request)
    _read_sampling(obj, request)
    _read_output(obj, request)
    if (extra := obj.extra()) is not None:
        request.extra_json = extra
    return request


def _tool(raw: bytes, path: str) -> pb.Tool:
    obj = Obj(raw, path, of_request)
    if (obj.string("type") or "") not in _CLIENT_TOOL:
        return pb.Tool(other_json=raw.decode("utf-8", "replace"))
    function = pb.FunctionTool(name=obj.string("name") or "")
    if not function.name:
        raise of_request(f"{path}.name", "a string")
    if (description := obj.string("description")) is not None:
        function.description = description
    if (schema := obj.json("input_schema")) is not None:
        function.parameters_json = schema
    if (strict := obj.boolean("strict")) is not None:
        function.strict = strict
    return pb.Tool(function=function, extra_json=obj.extra())


def _read_choice(obj: Obj, request: pb.ChatRequest) -> None:
    choice = obj.object("tool_choice")
    if choice is None:
        return
    kind = choice.string("type") or ""
    if (alone := choice.boolean("disable_parallel_tool_use")) is not None:
        request.parallel_tool_calls = not alone
    if kind in _MODES:
        request.tool_choice.mode = _MODES[kind]
    elif kind == "tool":
        request.tool_choice.function_name = choice.string("name") or ""
    else:
        raise of_request("tool_choice.type", "one of auto, any, tool, none")


def _read_sampling(obj: Obj, request: pb.ChatRequest) -> None:
    if (limit := obj.integer("max_tokens")) is not None:
        request.max_tokens = limit
    for name in ("temperature", "top_p"):
        if (value := obj.number(name)) is not None:
            setattr(request, name, value)
    if (raw := obj.take("stop_sequences")) is not None:
        items = array_items(raw, "stop_sequences", of_request)
        request.stop.extend(decoded_string(item, path, of_request) for item, path in items)
    if (tier := obj.string("service_tier")) is not None:
        request.service_tier = tier
    if (metadata := obj.object("metadata")) is not None and (user := metadata.string("user_id")) is not None:
        request.metadata["user_id"] = user


def _read_output(obj: Obj, request: pb.ChatRequest) -> None:
    """Thinking, effort and answer format. `thinking` stays in extra_json, unless it is off."""
    config = obj.object("output_config")
    if config is not None and (effort := config.string("effort")) is not None:
        request.reasoning_effort = effort
    thinking = obj.members.get("thinking")
    if thinking is not None and kind_of(thinking) == "disabled" and not request.HasField("reasoning_effort"):
        del obj.members["thinking"]
        request.reasoning_effort = "none"
    form = obj.take("output_format")  # its name during the beta
    if config is not None:
        form = config.take("format") or form
        if (rest := object_text(config.members)) is not None:
            obj.members["output_config"] = msgspec.Raw(rest.encode())
    if form is not None:
        _read_format(form, request)


def _read_format(raw: bytes, request: pb.ChatRequest) -> None:
    form = Obj(raw, "output_config.format", of_request)
    schema = form.json("schema") if form.string("type") == "json_schema" else None
    if schema is None:
        raise of_request("output_config.format", "of type json_schema, with a schema")
    request.response_format.json_schema.name = SCHEMA_NAME
    request.response_format.json_schema.schema_json = schema
    if (extra := form.extra()) is not None:
        request.response_format.json_schema.extra_json = extra


def kind_of(raw: bytes | msgspec.Raw) -> str:
    """Returns the `type` of an object; "" if there is none. Raises invalid_request for anything but an object."""
    if not bytes(raw).startswith(b"{"):
        return ""
    obj = Obj(b"{}", "", of_request)
    obj.members = OBJECTS.decode(raw)
    return obj.string("type") or ""
