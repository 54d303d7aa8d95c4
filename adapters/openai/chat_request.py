"""Chat requests, both directions."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.contract import Envelope, HttpCall, Target
from adapters.echoes import fit_history
from adapters.errors import GatewayError, Kind
from adapters.fit import Fit
from adapters.fit_request import fit_chat
from adapters.json_object import Obj, array_items, decoded_string, merge_extra, of_request, raw_json
from adapters.openai import field_tables
from adapters.openai.arguments_as_objects import OPTION, write_objects
from adapters.openai.body_edits import apply_row, understands_usage
from adapters.openai.calls_from_elsewhere import complete_calls
from adapters.openai.echoes import echoes_of
from adapters.openai.empty_turns import without_empty_turns
from adapters.openai.message import read_message, write_message
from adapters.openai.roles import knows_developer, with_system
from adapters.thoughts import opened
from adapters.tool_arguments import NAME
from adapters.tool_ids import fit_ids
from adapters.urls import url_of
from sidecar.v1 import inference_pb2 as pb

PATH = "/chat/completions"
_MODES = {
    "none": pb.ToolChoice.MODE_NONE,
    "auto": pb.ToolChoice.MODE_AUTO,
    "required": pb.ToolChoice.MODE_REQUIRED,
}
_MODE_WORDS = {mode: word for word, mode in _MODES.items()}
_MODELLED = field_tables.names(field_tables.CHAT) | {
    "model", "messages", "tools", "tool_choice", "response_format", "stop", "stream", "stream_options", "metadata", "modalities",
    "audio",
}  # fmt: skip


def envelope_object(envelope: Envelope) -> Obj:
    """The envelope's members as a request to read, without `model` and `stream`, which have been read."""
    obj = Obj(b"{}", "", of_request)
    obj.members = {n: msgspec.Raw(raw) for n, raw in envelope.members.items() if n not in ("model", "stream")}
    return obj


def decode_request(envelope: Envelope) -> pb.ChatRequest:
    """Decodes an OpenAI chat body."""
    obj = envelope_object(envelope)
    request = pb.ChatRequest(route=envelope.model)
    messages = obj.array("messages")
    if not messages:
        raise of_request("messages", "an array with at least one message")
    for raw, path in messages:
        read_message(Obj(raw, path, of_request), request.messages.add())
    field_tables.read(obj, request, field_tables.CHAT)
    for raw, path in obj.array("tools") or ():
        _read_tool(Obj(raw, path, of_request), raw, request.tools.add())
    _read_tool_choice(obj, request)
    _read_response_format(obj, request)
    request.stop.extend(read_strings(obj, "stop"))
    request.modalities.extend(read_strings(obj, "modalities"))
    read_stream_options(obj, request)
    _read_metadata(obj, request)
    if (audio := obj.object("audio")) is not None:
        request.audio.SetInParent()
        if bytes(audio.members.get("voice", b""))[:1] == b'"':  # a custom voice is an object: extra_json
            request.audio.voice = audio.string("voice") or ""
        request.audio.format = audio.string("format") or ""
        if (extra := audio.extra()) is not None:
            request.audio.extra_json = extra
    if (extra := obj.extra()) is not None:
        request.extra_json = extra
    check_n(request)
    return request


def check_n(request: Any) -> None:
    if request.HasField("n") and request.n < 1:
        raise of_request("n", "1 or more")


def read_strings(obj: Obj, name: str) -> list[str]:
    """A string or an array of strings."""
    raw = obj.take(name)
    if raw is None:
        return []
    path = obj.at(name)
    if raw.startswith(b'"'):
        return [decoded_string(raw, path, obj.refusal)]
    return [decoded_string(item, at, obj.refusal) for item, at in array_items(raw, path, obj.refusal)]


def read_stream_options(obj: Obj, request: Any) -> None:
    options = obj.object("stream_options")
    if options is None:
        return
    request.stream_options.SetInParent()
    field_tables.read(options, request.stream_options, field_tables.STREAM_OPTIONS)
    if (extra := options.extra()) is not None:
        request.stream_options.extra_json = extra


def _read_metadata(obj: Obj, request: pb.ChatRequest) -> None:
    metadata = obj.object("metadata")
    if metadata is not None:
        for name in list(metadata.members):
            value = metadata.string(name)
            if value is not None:
                request.metadata[name] = value


def _read_tool(obj: Obj, raw: bytes, into: pb.Tool) -> None:
    kind = obj.string("type") or "function"  # Mistral's SDK omits it
    inner = obj.object(kind) if kind in ("function", "custom") else None
    if inner is None:
        if kind == "function":
            raise obj.refusal(obj.at("function"), "an object")
        into.other_json = raw.decode("utf-8", "replace")
        return
    target: Any = into.function if kind == "function" else into.custom
    target.SetInParent()
    field_tables.read(inner, target, field_tables.FUNCTION_TOOL if kind == "function" else field_tables.CUSTOM_TOOL)
    if not target.name:
        raise obj.refusal(inner.at("name"), "a string")
    if (extra := inner.extra()) is not None:
        target.extra_json = extra
    if (extra := obj.extra()) is not None:
        into.extra_json = extra


def _read_tool_choice(obj: Obj, request: pb.ChatRequest) -> None:
    raw = obj.take("tool_choice")
    if raw is None:
        return
    if raw.startswith(b'"'):
        word = decoded_string(raw, "tool_choice", of_request)
        if word not in _MODES:
            raise of_request("tool_choice", f"one of {', '.join(_MODES)}, or an object")
        request.tool_choice.mode = _MODES[word]
        return
    choice = Obj(raw, "tool_choice", of_request)
    kind = choice.string("type")
    inner = choice.object(kind) if kind in ("function", "custom") else None
    name = inner.string("name") if inner is not None else None
    if inner is None or name is None or choice.extra() is not None or inner.extra() is not None:
        request.tool_choice.other_json = raw.decode("utf-8", "replace")
    elif kind == "function":
        request.tool_choice.function_name = name
    else:
        request.tool_choice.custom_name = name


def _read_response_format(obj: Obj, request: pb.ChatRequest) -> None:
    raw = obj.take("response_format")
    if raw is None:
        return
    form = Obj(raw, "response_format", of_request)
    kind = form.string("type")
    into = request.response_format
    schema = form.object("json_schema") if kind == "json_schema" else None
    if form.extra() is not None or (schema is not None and "name" not in schema.members):
        into.other_json = raw.decode("utf-8", "replace")
    elif schema is not None:
        into.json_schema.SetInParent()
        field_tables.read(schema, into.json_schema, field_tables.JSON_SCHEMA)
        if (extra := schema.extra()) is not None:
            into.json_schema.extra_json = extra
    elif kind == "text":
        into.text.SetInParent()
    elif kind == "json_object":
        into.json_object.SetInParent()
    else:
        into.other_json = raw.decode("utf-8", "replace")


def any_request(request: pb.ChatRequest, target: Target, stream: bool) -> HttpCall:
    """Encodes any canonical request as OpenAI's chat body; plain_request handles the common ones faster."""
    provider = target.provider.name
    if not request.messages:
        raise GatewayError(Kind.INVALID_REQUEST, "'messages' must have at least one message.", param="messages")
    check_n(request)
    fit = Fit(target)
    request = fit_history(fit_chat(request, None, fit, target.provider.leaves), echoes_of(target), fit)
    out: dict[str, Any] = {
        "model": target.model,
        "messages": [write_message(m, f"messages[{i}]", provider) for i, m in enumerate(request.messages)],
    }
    if not knows_developer(target):
        with_system(out["messages"])
    if (form := target.provider.options.get("tool_ids")) is not None:
        fit_ids(out["messages"], form)
    if OPTION in target.provider.options and write_objects(out["messages"]):
        fit.leave_out(NAME, needed=True)
    complete_calls(out["messages"], target, _thinking(request))
    out["messages"] = without_empty_turns(out["messages"], target)
    field_tables.write(request, field_tables.CHAT, out)
    if request.tools:
        out["tools"] = [_write_tool(tool, f"tools[{i}]") for i, tool in enumerate(request.tools)]
    if request.HasField("tool_choice"):
        out["tool_choice"] = _write_tool_choice(request.tool_choice)
    if request.HasField("response_format"):
        out["response_format"] = _write_response_format(request.response_format)
    if request.stop:
        out["stop"] = list(request.stop)
    if request.metadata:
        out["metadata"] = dict(request.metadata)
    if request.modalities:
        out["modalities"] = list(request.modalities)
    if request.HasField("audio"):
        audio = {
            name: value for name, value in (("voice", request.audio.voice), ("format", request.audio.format)) if value
        }
        out["audio"] = merge_extra(audio, request.audio.extra_json, "audio", frozenset())
    write_streaming(request, target, stream, out)
    out = merge_extra(out, request.extra_json, "", _MODELLED)
    body = msgspec.json.encode(apply_row(out, target))
    return HttpCall(url_of(target, PATH), body, left_out=fit.left_out())


def _thinking(request: pb.ChatRequest) -> str:
    """The text of a provider's own member of that name, "" for none."""
    if '"thinking"' not in request.extra_json:
        return ""
    return bytes(opened(request.extra_json.encode("utf-8", "replace")).get("thinking", b"")).decode("utf-8", "replace")


def write_streaming(request: Any, target: Target, stream: bool, out: dict[str, Any]) -> None:
    """`stream` and `stream_options`; usage is always requested if the provider supports that."""
    options: dict[str, Any] = {}
    if request.HasField("stream_options"):
        field_tables.write(request.stream_options, field_tables.STREAM_OPTIONS, options)
        options = merge_extra(
            options,
            request.stream_options.extra_json,
            "stream_options",
            field_tables.names(field_tables.STREAM_OPTIONS),
        )
    if stream:
        out["stream"] = True
        if understands_usage(target):
            options["include_usage"] = True
    if target.provider.options.get("usage_unasked"):
        options.pop("include_usage", None)  # as for bodies that pass through: usage is sent without a request
    if options:
        out["stream_options"] = options


def _write_tool(tool: pb.Tool, path: str) -> Any:
    match tool.WhichOneof("kind"):
        case "function":
            inner = field_tables.write(tool.function, field_tables.FUNCTION_TOOL, {}, f"{path}.function.")
            extra = tool.function.extra_json
        case "custom":
            inner = field_tables.write(tool.custom, field_tables.CUSTOM_TOOL, {}, f"{path}.custom.")
            extra = tool.custom.extra_json
        case "other_json":
            return raw_json(tool.other_json, f"{path}.other_json")
        case _:
            raise GatewayError(Kind.INVALID_REQUEST, f"'{path}' is empty.", param=path)
    kind = tool.WhichOneof("kind") or ""
    modelled = field_tables.names(field_tables.FUNCTION_TOOL, field_tables.CUSTOM_TOOL)
    out = {"type": kind, kind: merge_extra(inner, extra, f"{path}.{kind}", modelled)}
    return merge_extra(out, tool.extra_json, path, frozenset())


def _write_tool_choice(choice: pb.ToolChoice) -> Any:
    match choice.WhichOneof("choice"):
        case "mode" if choice.mode in _MODE_WORDS:
            return _MODE_WORDS[choice.mode]
        case "function_name":
            return {"type": "function", "function": {"name": choice.function_name}}
        case "custom_name":
            return {"type": "custom", "custom": {"name": choice.custom_name}}
        case "other_json":
            return raw_json(choice.other_json, "tool_choice.other_json")
    raise GatewayError(Kind.INVALID_REQUEST, "'tool_choice' is empty.", param="tool_choice")


def _write_response_format(form: pb.ResponseFormat) -> Any:
    match form.WhichOneof("format"):
        case "text" | "json_object" as kind:
            return {"type": kind}
        case "json_schema":
            schema = field_tables.write(form.json_schema, field_tables.JSON_SCHEMA, {}, "response_format.json_schema.")
            extra = form.json_schema.extra_json
            path = "response_format.json_schema"
            return {
                "type": "json_schema",
                "json_schema": merge_extra(schema, extra, path, field_tables.names(field_tables.JSON_SCHEMA)),
            }
        case "other_json":
            return raw_json(form.other_json, "response_format.other_json")
    raise GatewayError(Kind.INVALID_REQUEST, "'response_format' is empty.", param="response_format")
