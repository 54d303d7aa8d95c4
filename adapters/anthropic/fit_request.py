"""Adapts a request that came through the Messages API to a provider of another format: a copy without what
`foreign` reported."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from adapters.anthropic.fit_blocks import fit_part, fit_results, says_nothing
from adapters.anthropic.foreign import HINTS
from adapters.anthropic.thinking_effort import fit_effort
from adapters.contract import Target
from adapters.copies import copied, extend
from adapters.fit import refuse
from adapters.json_object import OBJECTS, Obj, callers_object, object_text, of_request
from adapters.tool_names import shorten
from adapters.tool_results import behind_their_calls
from sidecar.v1 import inference_pb2 as pb

# Claude Code's first system block, which differs in each conversation and would defeat prefix caches of other
# providers.
_BILLING = "x-anthropic-billing-header:"
_TOOL_HINTS = ("cache_control", "eager_input_streaming", "type", "input_examples", "defer_loading", "allowed_callers")
_BETWEEN_TEXTS = "\n\n"
_SYSTEM = (pb.ROLE_SYSTEM, pb.ROLE_DEVELOPER)


def fit_request(request: pb.ChatRequest, target: Target) -> pb.ChatRequest:
    """Raises unsupported_parameter for what asks for something that only Anthropic can do."""
    out = copied(request)
    found = _found_tools(out.messages)
    messages = _messages(out.messages, target)
    del out.messages[:]
    extend(out.messages, messages)
    fitted = (_tool(tool, target, f"tools[{n}]", found) for n, tool in enumerate(out.tools))
    tools = [tool for tool in fitted if tool is not None]
    del out.tools[:]
    out.tools.extend(tools)
    shorten(out)
    if not out.tools:
        out.ClearField("tool_choice")
    if out.parallel_tool_calls or not out.tools:
        out.ClearField("parallel_tool_calls")  # the default behaviour
    _fit_limit(out, target)
    out.ClearField("metadata")
    out.ClearField("service_tier")
    extra = callers_object(out.extra_json, "extra_json") if out.extra_json else {}
    fit_effort(out, target, extra.pop("thinking", None))
    _fit_format(out)
    _fit_extra(out, extra, target)
    return out


def _messages(messages: Sequence[pb.Message], target: Target) -> list[pb.Message]:
    """One message per assistant turn; tool results directly after the calls, with their images after all of them."""
    out: list[pb.Message] = []
    for number, message in enumerate(messages):
        message.ClearField("extra_json")
        parts = [
            part
            for index, one in enumerate(message.content)
            for part in fit_part(one, target, f"messages[{number}].content[{index}]")
        ]
        if message.role in _SYSTEM and parts and parts[0].text.startswith(_BILLING):
            del parts[0]
        del message.content[:]
        extend(message.content, parts)
        for call in message.tool_calls:
            call.ClearField("extra_json")
        if says_nothing(message):
            continue
        if out and message.role == out[-1].role and message.role in (pb.ROLE_ASSISTANT, pb.ROLE_USER):
            extend(out[-1].content, message.content)
            out[-1].tool_calls.extend(message.tool_calls)
        else:
            out.append(message)
    for message in out:
        _join_texts(message)
    return fit_results(behind_their_calls(out))


def _join_texts(message: pb.Message) -> None:
    """Turns with only texts become one string, since some servers do not accept lists."""
    if len(message.content) > 1 and all(part.WhichOneof("part") == "text" for part in message.content):
        text = _BETWEEN_TEXTS.join(part.text for part in message.content if part.text)
        del message.content[:]
        message.content.add(text=text)


def _found_tools(messages: Sequence[pb.Message]) -> frozenset[str]:
    """Names of tools that a tool search of the client has found: the model sees them from then on."""
    return frozenset(
        name
        for message in messages
        if message.role == pb.ROLE_TOOL
        for part in message.content
        if '"tool_reference"' in part.other_json
        and (name := Obj(part.other_json.encode(), "messages", of_request).string("tool_name"))
    )


def _tool(tool: pb.Tool, target: Target, at: str, found: frozenset[str]) -> pb.Tool | None:
    """Returns None for a tool that drop_params removes, and for a deferred one that has not been found yet, which
    Anthropic does not show to the model either. Examples of a tool's input become part of its description."""
    if tool.WhichOneof("kind") != "function":
        members = callers_object(tool.other_json, at)
        kind = bytes(members.get("type", b"")).decode("utf-8", "replace").strip('"')
        refuse(target, f"{at}.{kind}", "tools", "only Anthropic runs it or knows its schema")
        return None
    members = callers_object(tool.extra_json, f"{at}.extra_json") if tool.extra_json else {}
    if bytes(members.get("defer_loading", b"")) == b"true" and tool.function.name not in found:
        return None
    if bytes(members.get("allowed_callers", b'["direct"]')).replace(b" ", b"") != b'["direct"]':
        refuse(target, f"{at}.allowed_callers", "tools")
    if (examples := members.get("input_examples")) is not None:
        text = bytes(examples).decode("utf-8", "replace")
        tool.function.description = f"{tool.function.description}\n\nExamples of its input: {text}".strip()
    rest = object_text({name: raw for name, raw in members.items() if name not in _TOOL_HINTS})
    tool.ClearField("extra_json")
    if rest is not None:
        tool.function.extra_json = rest
    return tool


def _fit_limit(request: pb.ChatRequest, target: Target) -> None:
    """Reasoning models refuse the older name of the limit; every server knows it."""
    models: tuple[str, ...] = target.provider.options.get("max_completion_tokens_models", ())
    if request.HasField("max_tokens") and models and target.model.lower().startswith(models):
        request.max_completion_tokens = request.max_tokens
        request.ClearField("max_tokens")


def _fit_format(request: pb.ChatRequest) -> None:
    """Strict, as always with Anthropic, if the schema follows OpenAI's rules for that."""
    if request.HasField("response_format"):
        schema = request.response_format.json_schema
        if _is_strict(msgspec.json.decode(schema.schema_json)):
            schema.strict = True


def _is_strict(schema: object) -> bool:
    """Whether every object lists all of its properties as required, and allows no others. A caller may nest them deeper than
    functions can call each other."""
    unchecked = [schema]
    while unchecked:
        each = unchecked.pop()
        if isinstance(each, list):
            unchecked += each
        elif isinstance(each, dict):
            if not _is_closed(each):
                return False
            unchecked += each.values()
    return True


def _is_closed(schema: dict[str, object]) -> bool:
    """Of one schema, whatever is inside it."""
    if schema.get("type") != "object" and "properties" not in schema:
        return True
    properties, required = schema.get("properties"), schema.get("required", [])
    if schema.get("additionalProperties") is not False or not isinstance(properties, dict):
        return False
    return isinstance(required, list) and not set(properties) - {name for name in required if isinstance(name, str)}


def _fit_extra(request: pb.ChatRequest, extra: dict[str, msgspec.Raw], target: Target) -> None:
    config = extra.pop("output_config", None)
    for name in OBJECTS.decode(config) if config is not None else ():
        refuse(target, f"output_config.{name}", "output_config")
    if (top_k := extra.get("top_k")) is not None and target.provider.format.startswith("cohere"):
        extra["k"] = top_k
        del extra["top_k"]
    left = object_text({name: raw for name, raw in extra.items() if name not in HINTS and name not in _GONE})
    request.ClearField("extra_json")
    if left is not None:
        request.extra_json = left


# Instructions that drop_params removes, or whose value has no effect.
_GONE = frozenset({"container", "mcp_servers", "inference_geo", "compaction", "fallbacks", "thread", "speed"})
