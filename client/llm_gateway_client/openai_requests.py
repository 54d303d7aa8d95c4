"""Converts bodies of OpenAI's format to messages of the typed service. What a message has no field for goes to
`extra_json`, and what it cannot represent exactly to `other_json`: the gateway passes both on unchanged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from llm_gateway_client.errors import of_kind
from llm_gateway_client.members import Members, json_text, wrong
from llm_gateway_client.openai_messages import read_message
from llm_gateway_client.v1 import inference_pb2 as pb
from llm_gateway_client.values import Json

_MODES = {
    "none": pb.ToolChoice.MODE_NONE,
    "auto": pb.ToolChoice.MODE_AUTO,
    "required": pb.ToolChoice.MODE_REQUIRED,
}
_ENCODINGS = {"float": pb.EmbedRequest.ENCODING_FLOAT, "base64": pb.EmbedRequest.ENCODING_BASE64}
_TOKEN_MAX = 2**31 - 1


def chat_request(body: Json) -> pb.ChatRequest:
    """Raises InvalidRequest, like the other functions here."""
    members = Members(body)
    request = pb.ChatRequest(route=_route(members))
    for message in members.objects("messages"):
        read_message(message, request.messages.add())
    if not request.messages:
        raise wrong("messages", "an array with at least one message")
    for tool in members.objects("tools"):
        _read_tool(tool, request.tools.add())
    _read_tool_choice(members, request)
    _read_response_format(members, request)
    request.modalities.extend(members.strings("modalities"))
    if (metadata := members.object("metadata")) is not None:
        for name in metadata.value:
            if (value := metadata.string(name)) is not None:
                request.metadata[name] = value
    if (audio := members.object("audio")) is not None:
        request.audio.SetInParent()
        if isinstance(audio.value.get("voice"), str):  # a custom voice is an object: extra_json
            request.audio.voice = audio.string("voice") or ""
        request.audio.format = audio.string("format") or ""
        _read_extra(audio, request.audio)
    _read_common(members, request)
    return request


def complete_request(body: Json) -> pb.CompleteRequest:
    members = Members(body)
    request = pb.CompleteRequest(route=_route(members))
    for text in _texts(members, "prompt"):
        request.prompts.add(**text)
    _read_common(members, request)
    return request


def embed_request(body: Json) -> pb.EmbedRequest:
    members = Members(body)
    request = pb.EmbedRequest(route=_route(members))
    for text in _texts(members, "input"):
        request.inputs.add(**text)
    if (word := members.string("encoding_format")) is not None:
        if word not in _ENCODINGS:
            raise wrong("encoding_format", f"one of {', '.join(_ENCODINGS)}")
        request.encoding = _ENCODINGS[word]
    read_plain(members, request)
    _read_extra(members, request)
    return request


def _read_common(members: Members, request: Any) -> None:
    """What chat and completions share."""
    request.stop.extend(members.strings("stop"))
    if (options := members.object("stream_options")) is not None:
        request.stream_options.SetInParent()
        read_plain(options, request.stream_options)
        _read_extra(options, request.stream_options)
    read_plain(members, request)
    _read_extra(members, request)
    if request.HasField("n") and request.n < 1:
        raise wrong("n", "1 or more")


def read_plain(members: Members, into: Any) -> None:
    """Fills every optional scalar of the message from the member with its name, and `<name>_json` from <name> as
    JSON text."""
    for field in into.DESCRIPTOR.fields:
        name = field.name.removesuffix("_json")
        if not field.has_presence or field.name == "extra_json" or name not in members:
            continue
        if name != field.name:
            value: Any = members.json(name)
        elif (read := _READERS.get(field.cpp_type)) is not None:
            value = read(members, name)
        else:
            continue
        setattr(into, field.name, value)


_READERS: Mapping[int, Callable[[Members, str], Any]] = {
    FieldDescriptor.CPPTYPE_STRING: Members.string,
    FieldDescriptor.CPPTYPE_BOOL: Members.boolean,
    FieldDescriptor.CPPTYPE_DOUBLE: Members.number,
    FieldDescriptor.CPPTYPE_INT32: Members.integer,
    FieldDescriptor.CPPTYPE_INT64: Members.integer64,
}


def _read_extra(members: Members, into: Any) -> None:
    if (extra := members.extra()) is not None:
        into.extra_json = extra


def _route(members: Members) -> str:
    members.take("stream")  # the method decides
    route = members.string("model")
    if not route:
        message = "You must provide a model parameter: the name of a route."
        raise of_kind("invalid_request", message, param="model")
    return route


def _read_tool(members: Members, into: pb.Tool) -> None:
    kind = members.string("type") or "function"
    inner = members.object(kind) if kind in ("function", "custom") else None
    if inner is None:
        if kind == "function":
            raise wrong(members.at("function"), "an object")
        into.other_json = json_text(members.value)
        return
    target: Any = into.function if kind == "function" else into.custom
    target.name = inner.string("name") or ""
    if not target.name:
        raise wrong(inner.at("name"), "a string")
    read_plain(inner, target)
    _read_extra(inner, target)
    _read_extra(members, into)


def _read_tool_choice(members: Members, request: pb.ChatRequest) -> None:
    value = members.take("tool_choice")
    if value is None:
        return
    if isinstance(value, str):
        if value not in _MODES:
            raise wrong("tool_choice", f"one of {', '.join(_MODES)}, or an object")
        request.tool_choice.mode = _MODES[value]
        return
    choice = Members(value, "tool_choice")
    kind = choice.string("type")
    inner = choice.object(kind) if kind in ("function", "custom") else None
    name = inner.string("name") if inner is not None else None
    if inner is None or name is None or choice.extra() is not None or inner.extra() is not None:
        request.tool_choice.other_json = json_text(value)
    elif kind == "function":
        request.tool_choice.function_name = name
    else:
        request.tool_choice.custom_name = name


def _read_response_format(members: Members, request: pb.ChatRequest) -> None:
    form = members.object("response_format")
    if form is None:
        return
    into = request.response_format
    kind = form.string("type")
    schema = form.object("json_schema") if kind == "json_schema" else None
    if form.extra() is not None or (schema is not None and "name" not in schema):
        into.other_json = json_text(form.value)
    elif schema is not None:
        into.json_schema.name = schema.string("name") or ""
        read_plain(schema, into.json_schema)
        _read_extra(schema, into.json_schema)
    elif kind == "text":
        into.text.SetInParent()
    elif kind == "json_object":
        into.json_object.SetInParent()
    else:
        into.other_json = json_text(form.value)


def _texts(members: Members, name: str) -> list[dict[str, Any]]:
    """A text, an array of texts, an array of tokens, or an array of those: each becomes the fields of a Prompt or
    an EmbedInput."""
    if isinstance(members.value.get(name), str):
        return [{"text": members.take(name)}]
    if members.value.get(name) is None:
        raise wrong(name, "a string or an array")
    whole = members.value[name]
    items = members.items(name)
    if not items:
        raise wrong(name, "a string or an array that is not empty")
    if not isinstance(items[0][0], str | list | tuple):
        return [{"tokens": _tokens(whole, name)}]
    return [{"text": item} if isinstance(item, str) else {"tokens": _tokens(item, path)} for item, path in items]


def _tokens(value: Any, path: str) -> pb.Tokens:
    ids: list[Any] = list(value) if isinstance(value, list | tuple) else [None]
    if any(type(each) is not int or not 0 <= each <= _TOKEN_MAX for each in ids):
        raise wrong(path, "an array of token ids")
    return pb.Tokens(ids=ids)
