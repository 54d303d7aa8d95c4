"""Encodes a canonical chat request as a Responses body, for a route with `chat_api: responses`: callers of any API
keep the model's reasoning from one tool call to the next."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import msgspec

from adapters.contract import Context, HttpCall, Target
from adapters.echoes import Echoes, fit_history
from adapters.errors import GatewayError, Kind
from adapters.fit import Fit
from adapters.fit_request import fit_chat
from adapters.json_object import OBJECTS, merge_extra, raw_json
from adapters.refusals import plain_fields, unsupported
from adapters.responses.passing import model_of, responses_url
from adapters.responses.places import PLACES
from adapters.responses.sealed import OPENAI
from sidecar.v1 import inference_pb2 as pb

_ROLES = {
    pb.ROLE_SYSTEM: "system",
    pb.ROLE_DEVELOPER: "developer",
    pb.ROLE_USER: "user",
    pb.ROLE_ASSISTANT: "assistant",
}
_MODES = {pb.ToolChoice.MODE_NONE: "none", pb.ToolChoice.MODE_AUTO: "auto", pb.ToolChoice.MODE_REQUIRED: "required"}
_ECHOES = Echoes(
    takes=lambda thought: bool(thought.redacted) and thought.HasField("format") and thought.format == OPENAI,
    restores=True,
)
_FIELDS = (("temperature", "temperature"), ("top_p", "top_p"), ("top_logprobs", "top_logprobs"))
_HINTS = ("service_tier", "user", "safety_identifier", "prompt_cache_key")
_LOGPROBS = "message.output_text.logprobs"
_MODELLED = frozenset(
    {"model", "input", "stream", "store", "include", "tools", "tool_choice", "text", "reasoning", "metadata"}
    | {"max_output_tokens", "parallel_tool_calls", "messages", *_HINTS, *(name for name, _ in _FIELDS)}
)


def encode(request: pb.ChatRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    """Raises unsupported_parameter for what this API cannot express."""
    if not request.messages:
        raise GatewayError(Kind.INVALID_REQUEST, "'messages' must have at least one message.", param="messages")
    fit = Fit(target)
    request = fit_history(fit_chat(request, PLACES, fit), _ECHOES, fit)
    out: dict[str, Any] = {
        "model": model_of(target),
        "input": _input(request, target),
        "store": False,
        "include": ["reasoning.encrypted_content", *([_LOGPROBS] if request.logprobs else [])],
        **plain_fields(request, _FIELDS),
    }
    if stream:
        out["stream"] = True
    limit = request.max_completion_tokens or request.max_tokens
    if limit:
        out["max_output_tokens"] = limit
    for name in _HINTS:
        if request.HasField(name):
            out[name] = getattr(request, name)
    if request.metadata:
        out["metadata"] = dict(request.metadata)
    if request.HasField("reasoning_effort"):
        out["reasoning"] = {"effort": request.reasoning_effort, "summary": "auto"}
    _write_tools(request, out)
    if text := _text(request):
        out["text"] = text
    out = merge_extra(out, request.extra_json, "", _MODELLED) if request.extra_json else out
    for name in target.options.get("drop_params", ()):
        out.pop(name, None)
    return HttpCall(responses_url(target), msgspec.json.encode(out), left_out=fit.left_out())


def _input(request: pb.ChatRequest, target: Target) -> list[dict[str, Any]]:
    """Encodes the conversation. The result of a call has the call's kind."""
    items = [item for at, message in enumerate(request.messages) for item in _items(message, f"messages[{at}]", target)]
    customs = {item["call_id"] for item in items if item["type"] == "custom_tool_call"}
    for item in items if customs else ():
        if item["type"] == "function_call_output" and item["call_id"] in customs:
            item["type"] = "custom_tool_call_output"
    return items


def _items(message: pb.Message, path: str, target: Target) -> Iterator[dict[str, Any]]:
    """Encodes one turn as items, in order."""
    if message.role == pb.ROLE_TOOL:
        yield _output(message, path, target)
        return
    if message.role not in _ROLES:
        raise unsupported(target.provider.name, f"{path}.role", "OpenAI's Responses API does not support it")
    parts: list[Any] = []
    for number, part in enumerate(message.content):
        if part.WhichOneof("part") == "thinking":
            yield from _message(message, parts)
            parts = []
            yield _reasoning(part.thinking)
        else:
            parts.append(_part(part, f"{path}.content[{number}]", target, answer=message.role == pb.ROLE_ASSISTANT))
    yield from _message(message, parts)
    for call in message.tool_calls:
        yield _call(call)


def _message(message: pb.Message, parts: list[Any]) -> Iterator[dict[str, Any]]:
    if parts or (not message.content and message.role != pb.ROLE_ASSISTANT):
        yield {"type": "message", "role": _ROLES[message.role], "content": parts}


def _reasoning(thought: pb.Thinking) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": thought.text}] if thought.text else []
    return {"type": "reasoning", "summary": summary, "encrypted_content": thought.redacted.decode("utf-8", "replace")}


def _call(call: pb.ToolCall) -> dict[str, Any]:
    if call.HasField("custom_input"):
        return {"type": "custom_tool_call", "call_id": call.id, "name": call.name, "input": call.custom_input}
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments_json or "{}"}


def _output(message: pb.Message, path: str, target: Target) -> dict[str, Any]:
    if message.tool_error:
        raise unsupported(target.provider.name, f"{path}.tool_error", drop_as="messages[].tool_error")
    parts = [_part(part, f"{path}.content[{n}]", target, answer=False) for n, part in enumerate(message.content)]
    only_text = all(part.WhichOneof("part") == "text" for part in message.content)
    output: Any = "".join(part.text for part in message.content) if only_text else parts
    return {"type": "function_call_output", "call_id": message.tool_call_id, "output": output}


def _part(part: pb.ContentPart, path: str, target: Target, *, answer: bool) -> Any:
    match part.WhichOneof("part"):
        case "text":
            if answer:
                return {"type": "output_text", "text": part.text, "annotations": []}
            return {"type": "input_text", "text": part.text}
        case "refusal":
            return {"type": "refusal", "refusal": part.refusal}
        case "image":
            return {
                "type": "input_image",
                **_source(part.image, "image_url", "image_url"),
                "detail": part.image.detail or "auto",
            }
        case "file":
            name = {"filename": part.file.filename} if part.file.HasField("filename") else {}
            return {"type": "input_file", **_source(part.file, "file_data", "file_url"), **name}
        case "other_json":
            return raw_json(part.other_json, f"{path}.other_json")
    raise unsupported(target.provider.name, path)


def _source(media: Any, data: str, url: str) -> dict[str, str]:
    match media.WhichOneof("source"):
        case "data":
            return {data: f"data:{media.mime_type};base64,{base64.b64encode(media.data).decode()}"}
        case "url":
            return {url: media.url}
        case _:
            return {"file_id": media.file_id}


def _write_tools(request: pb.ChatRequest, out: dict[str, Any]) -> None:
    if request.tools:
        out["tools"] = [_tool(tool, f"tools[{at}]") for at, tool in enumerate(request.tools)]
    if request.HasField("parallel_tool_calls"):
        out["parallel_tool_calls"] = request.parallel_tool_calls
    choice = request.tool_choice
    match choice.WhichOneof("choice"):
        case "mode":
            out["tool_choice"] = _MODES[choice.mode]
        case "function_name":
            out["tool_choice"] = {"type": "function", "name": choice.function_name}
        case "custom_name":
            out["tool_choice"] = {"type": "custom", "name": choice.custom_name}
        case "other_json":
            out["tool_choice"] = _flat_choice(choice.other_json)


def _tool(tool: pb.Tool, path: str) -> Any:
    """Flat, and strict only if requested: this API is strict by default."""
    match tool.WhichOneof("kind"):
        case "function":
            out: dict[str, Any] = {"type": "function", "name": tool.function.name, "strict": tool.function.strict}
            if tool.function.HasField("description"):
                out["description"] = tool.function.description
            text = tool.function.parameters_json
            out["parameters"] = raw_json(text, f"{path}.function.parameters") if text else None
            return out
        case "custom":
            out = {"type": "custom", "name": tool.custom.name}
            if tool.custom.HasField("description"):
                out["description"] = tool.custom.description
            if tool.custom.format_json:
                out["format"] = _flat_format(tool.custom.format_json)
            return out
    return raw_json(tool.other_json, f"{path}.other_json")


def _flat_format(text: str) -> Any:
    """In chat completions, a grammar is in a separate object."""
    form = msgspec.json.decode(text)
    inner = form.pop("grammar", None) if isinstance(form, dict) else None
    return {**form, **inner} if isinstance(inner, dict) else form


def _flat_choice(text: str) -> Any:
    """Flattens allowed_tools: its members and its tools lose their enclosing objects."""
    choice = msgspec.json.decode(text)
    inner = choice.get("allowed_tools") if isinstance(choice, dict) else None
    if not isinstance(inner, dict):
        return choice
    tools = [{"type": kind, **tool.get(kind, {})} for tool in inner.get("tools", ()) if (kind := tool.get("type", ""))]
    return {"type": "allowed_tools", "mode": inner.get("mode", "auto"), "tools": tools}


def _text(request: pb.ChatRequest) -> dict[str, Any]:
    out: dict[str, Any] = {}
    form = request.response_format
    match form.WhichOneof("format"):
        case "json_object":
            out["format"] = {"type": "json_object"}
        case "json_schema":
            schema = form.json_schema
            found: dict[str, Any] = {"type": "json_schema", "name": schema.name or "answer"}
            if schema.HasField("description"):
                found["description"] = schema.description
            found["schema"] = raw_json(schema.schema_json or "{}", "response_format.json_schema.schema")
            if schema.HasField("strict"):
                found["strict"] = schema.strict
            out["format"] = found
        case "other_json":
            out["format"] = OBJECTS.decode(form.other_json)
    if request.HasField("verbosity"):
        out["verbosity"] = request.verbosity
    return out
