"""One message, both directions: roles, content, tool calls, thinking."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from adapters.errors import GatewayError, Kind
from adapters.json_object import ARRAYS, OBJECTS, Obj, beneath, merge_extra, of_request
from adapters.openai.empty_turns import with_content
from adapters.openai.finish_and_usage import ROLE_WORDS, ROLES
from adapters.openai.parts import read_content, write_part
from adapters.openai.thinking_parts import THINKING_NAMES, is_part
from adapters.refusals import unsupported
from adapters.thoughts import DETAILS, written_detail
from sidecar.v1 import inference_pb2 as pb

_MODELLED = frozenset({"role", "content", "name", "tool_calls", "tool_call_id", "refusal"})


def read_message(obj: Obj, into: pb.Message) -> None:
    """Reads a message of a request or an answer; unknown members go to extra_json."""
    word = obj.string("role")
    role = ROLES.get(word or "", pb.ROLE_UNSPECIFIED)
    if not role and obj.refusal is of_request:
        raise obj.refusal(obj.at("role"), f"one of {', '.join(ROLES)}")
    into.role = role or pb.ROLE_ASSISTANT
    _read_thinking(obj, into)
    read_content(obj, into)
    if (refusal := obj.string("refusal")) is not None:
        into.content.add(refusal=refusal)
    if (name := obj.string("name")) is not None:
        into.name = name
    if (call_id := obj.string("tool_call_id")) is not None:
        into.tool_call_id = call_id
    for call in call_objects(obj):
        _read_call(call, into.tool_calls.add())
    if (extra := obj.extra()) is not None:
        into.extra_json = extra


def thinking_name(thinking: Any) -> str:
    """The member for a thought in our answers: the provider's own if this format has it."""
    name: str = thinking.native_name
    return name if name in THINKING_NAMES else THINKING_NAMES[0]


def _read_thinking(obj: Obj, into: pb.Message) -> None:
    for name in THINKING_NAMES:
        raw = obj.members.get(name)
        if raw is not None and bytes(raw).startswith(b'"'):
            into.content.add(thinking=pb.Thinking(text=obj.string(name) or "", native_name=name))
            return


def call_objects(obj: Obj) -> Iterator[Obj]:
    """The entries of `tool_calls`; some servers send a single one without a list."""
    raw = obj.members.get("tool_calls")
    if raw is not None and bytes(raw).startswith(b"{") and (call := obj.object("tool_calls")) is not None:
        yield call
    else:
        yield from obj.objects("tool_calls")


def _read_call(obj: Obj, into: pb.ToolCall) -> None:
    into.id = obj.string("id") or ""
    kind = obj.string("type")
    custom = obj.object("custom") if kind == "custom" else None
    if custom is not None:
        into.name = custom.string("name") or ""
        into.custom_input = custom.string("input") or ""
        inner = custom
    else:
        function = obj.object("function")
        if function is None:
            raise obj.refusal(obj.at("function"), "an object")
        into.name = function.string("name") or ""
        into.arguments_json = arguments_of(function) or "{}"
        inner = function
    if (extra := inner.extra()) is not None:
        into.function_extra_json = extra
    if (extra := obj.extra()) is not None:
        into.extra_json = extra


def arguments_of(function: Obj) -> str:
    """The text of the arguments. Some servers send the object instead of its text."""
    raw = function.members.get("arguments")
    if raw is not None and bytes(raw)[:1] == b"{":
        return function.json("arguments") or ""
    return function.string("arguments") or ""


def write_message(message: pb.Message, path: str, provider: str) -> dict[str, Any]:
    """Encodes a message of a request."""
    if message.role not in ROLE_WORDS:
        raise GatewayError(Kind.INVALID_REQUEST, f"'{path}.role' must be set.", param=f"{path}.role")
    if message.HasField("tool_error"):
        raise unsupported(provider, f"{path}.tool_error", drop_as="messages[].tool_error")
    out: dict[str, Any] = {"role": ROLE_WORDS[message.role]}
    plain: list[tuple[int, pb.ContentPart]] = []
    for i, part in enumerate(message.content):
        match part.WhichOneof("part"):
            case "thinking" if not is_part(part.thinking):
                _write_thinking(part.thinking, out)
            case "refusal" if message.role == pb.ROLE_ASSISTANT and "refusal" not in out:
                out["refusal"] = part.refusal
            case _:
                plain.append((i, part))
    if plain:
        out["content"] = _write_content(plain, path, provider)
    if message.HasField("name"):
        out["name"] = message.name
    if message.HasField("tool_call_id"):
        out["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        out["tool_calls"] = [write_call(c, f"{path}.tool_calls[{i}]") for i, c in enumerate(message.tool_calls)]
    if DETAILS in out and f'"{DETAILS}"' in message.extra_json:
        del out[DETAILS]  # the caller sends the provider's own
    out = merge_extra(out, message.extra_json, path, _MODELLED)
    with_content(out)
    return out


def _write_content(parts: list[tuple[int, pb.ContentPart]], path: str, provider: str) -> Any:
    only = parts[0][1]
    if len(parts) == 1 and only.WhichOneof("part") == "text" and not only.extra_json:
        return only.text
    return [write_part(part, f"{path}.content[{i}]", provider) for i, part in parts]


def _write_thinking(thinking: pb.Thinking, out: dict[str, Any]) -> None:
    """Writes a thought that this provider accepts (echoes): in its original member, or sealed in an entry of
    reasoning_details."""
    if thinking.signature or thinking.redacted:
        details = out.setdefault(DETAILS, [])
        details.append(written_detail(thinking, len(details)))
    else:
        out[thinking.native_name] = out.get(thinking.native_name, "") + thinking.text


def _answer_call(call: pb.ToolCall) -> dict[str, Any]:
    kind, inner = _call(call)
    return beneath({"id": call.id, "type": kind, kind: beneath(inner, call.function_extra_json)}, call.extra_json)


def write_call(call: pb.ToolCall, path: str) -> dict[str, Any]:
    kind, inner = _call(call)
    merged = merge_extra(inner, call.function_extra_json, f"{path}.{kind}", frozenset())
    return merge_extra({"id": call.id, "type": kind, kind: merged}, call.extra_json, path, frozenset())


def _call(call: pb.ToolCall) -> tuple[str, dict[str, Any]]:
    if call.HasField("custom_input"):
        return "custom", {"name": call.name, "input": call.custom_input}
    return "function", {"name": call.name, "arguments": call.arguments_json or "{}"}


def has_details(thinking: Any) -> bool:
    """Whether a thought of an answer is also an entry of reasoning_details: one that did not come in a member of
    this format."""
    return thinking.native_name not in THINKING_NAMES and not is_part(thinking)


def _answer_thoughts(thoughts: list[pb.Thinking], out: dict[str, Any]) -> None:
    """The text for clients that show it, and the whole thought for those that send it back."""
    for thought in thoughts:
        if thought.text:
            name = thinking_name(thought)
            out[name] = out.get(name, "") + thought.text
    detailed = [thought for thought in thoughts if has_details(thought)]
    if detailed:
        out[DETAILS] = [written_detail(thought, index) for index, thought in enumerate(detailed)]


def _add_other(part: pb.ContentPart, out: dict[str, Any]) -> None:
    if part.WhichOneof("part") == "other_json":
        out.setdefault("content_blocks", []).append(msgspec.Raw(part.other_json.encode()))
    elif part.WhichOneof("part") == "text" and part.extra_json:
        for name, raw in OBJECTS.decode(part.extra_json).items():
            if bytes(raw).startswith(b"[") and isinstance(out.get(name, []), list):
                out.setdefault(name, []).extend(ARRAYS.decode(raw))


def write_answer_message(message: pb.Message) -> dict[str, Any]:
    """Encodes a message of an answer. Texts are joined, since OpenAI has one string. What it has no member for is
    written as in a stream: blocks of server tools as `content_blocks`, and lists of a text (`citations`)
    concatenated over the parts."""
    texts = [part.text for part in message.content if part.WhichOneof("part") == "text"]
    refusals = [part.refusal for part in message.content if part.WhichOneof("part") == "refusal"]
    out: dict[str, Any] = {
        "role": ROLE_WORDS.get(message.role, "assistant"),
        "content": "".join(texts) if texts else None,
        "refusal": "".join(refusals) if refusals else None,
    }
    for part in message.content:
        _add_other(part, out)
    _answer_thoughts([part.thinking for part in message.content if part.WhichOneof("part") == "thinking"], out)
    if message.tool_calls:
        out["tool_calls"] = [_answer_call(call) for call in message.tool_calls]
    return beneath(out, message.extra_json)
