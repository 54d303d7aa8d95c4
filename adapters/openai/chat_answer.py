"""Chat answers and chunks, both directions."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.contract import Context
from adapters.json_object import Obj, beneath, of_answer
from adapters.openai.failure import no_answer, protocol, refuse_error
from adapters.openai.finish_and_usage import ROLE_WORDS, read_finish, read_usage, write_finish, write_usage
from adapters.openai.logprobs import read_logprobs, write_logprobs
from adapters.openai.message import has_details, read_message, thinking_name, write_answer_message
from adapters.openai.plain_answer import plain_answer
from adapters.thoughts import DETAILS, written_piece
from sidecar.v1 import inference_pb2 as pb

_SECONDS_DIGITS_MAX = 18  # fits into int64


def decode(body: bytes, context: Context) -> pb.ChatResponse:
    """Decodes a whole answer."""
    plain = plain_answer(body)
    return any_answer(body, context) if plain is None else plain


def any_answer(body: bytes, context: Context) -> pb.ChatResponse:
    """Decodes any answer; `decode` handles the common ones faster."""
    obj = open_answer(body)
    answer = pb.ChatResponse()
    read_head(obj, answer, context)
    choices = obj.array("choices")
    if choices is None:
        raise no_answer(body, "choices")
    for raw, path in choices:
        choice = Obj(raw, path, of_answer)
        refuse_error(choice)  # OpenRouter: a choice that broke off, in a 200
        into = answer.choices.add()
        into.index = choice.integer("index") or 0
        message = choice.object("message")
        read_finish(choice, into)
        if message is not None:
            read_message(message, into.message)
            for call in into.message.tool_calls:
                call.id = call.id or context.new_id("call_")  # so that tool results can be assigned
        elif into.finish_reason:  # Azure: everything was filtered
            into.message.role = pb.ROLE_ASSISTANT
        else:
            raise protocol(f"{path} has no message")
        read_logprobs(choice, into)
        if (extra := choice.extra()) is not None:
            into.extra_json = extra
    if (extra := obj.extra()) is not None:
        answer.extra_json = extra
    return answer


def open_answer(body: bytes) -> Obj:
    """The members of an answer or an event. Raises upstream_protocol, or the provider's error in a 200."""
    try:
        if not body.isascii():
            body.decode()
    except UnicodeDecodeError:
        raise of_answer("the body", "valid UTF-8") from None
    obj = Obj(body, "", of_answer)
    refuse_error(obj, body)
    return obj


def read_head(obj: Obj, answer: Any, context: Context | None) -> None:
    """Reads id, time, model, usage and the rest that chat and completions have in common, whole and streamed.
    Without a context, a missing id or time stays missing."""
    obj.take("object")
    answer.id = _id(obj)
    answer.created = _created(obj)
    answer.model = obj.string("model") or ""
    if context is not None:
        answer.id = answer.id or new_id(answer, context)
        answer.created = answer.created or context.now_s
    usage = read_usage(obj)
    if usage is not None:
        answer.usage.CopyFrom(usage)
    for name in ("system_fingerprint", "service_tier"):
        if name in answer.DESCRIPTOR.fields_by_name and bytes(obj.members.get(name, b"")).startswith(b'"'):
            setattr(answer, name, obj.string(name) or "")  # anything but a string stays in extra_json


def new_id(answer: Any, context: Context) -> str:
    return context.new_id("chatcmpl-" if "Chat" in answer.DESCRIPTOR.name else "cmpl-")


def _id(obj: Obj) -> str:
    """Some servers use numbers as ids."""
    raw = bytes(obj.members.get("id", b""))
    return (obj.json("id") or "") if raw[:1].isdigit() else (obj.string("id") or "")


def _created(obj: Obj) -> int:
    """Seconds; some servers send text or a fraction. 0 if it is unreadable."""
    text = bytes(obj.members.get("created", b"")).strip(b'"').partition(b".")[0]
    if not text.isdigit() or len(text) > _SECONDS_DIGITS_MAX:
        return 0
    del obj.members["created"]
    return int(text)


# Strict clients refuse any other word. "standard" is Anthropic's.
SERVICE_TIERS = {word: word for word in ("auto", "default", "flex", "scale", "priority", "fast")} | {
    "standard": "default"
}


def write_head(answer: Any, object_: str) -> dict[str, Any]:
    out: dict[str, Any] = {"id": answer.id, "object": object_, "created": answer.created, "model": answer.model}
    for name in ("system_fingerprint", "service_tier"):
        if name in answer.DESCRIPTOR.fields_by_name and answer.HasField(name):
            out[name] = getattr(answer, name)
    if (tier := out.pop("service_tier", None)) is not None and (word := SERVICE_TIERS.get(tier)) is not None:
        out["service_tier"] = word
    return out


def encode_response(answer: pb.ChatResponse) -> bytes:
    out = write_head(answer, "chat.completion")
    out["choices"] = [_write_choice(choice) for choice in answer.choices]
    if answer.HasField("usage"):
        out["usage"] = write_usage(answer.usage)
    return msgspec.json.encode(beneath(out, answer.extra_json))


def _write_choice(choice: pb.Choice) -> dict[str, Any]:
    out = {
        "index": choice.index,
        "message": write_answer_message(choice.message),
        "logprobs": write_logprobs(choice),
    }
    return beneath(write_finish(choice, out), choice.extra_json)


def encode_chunk(chunk: pb.StreamChatResponse, wants_usage: bool) -> bytes:
    """Encodes the chunk as an event; usage becomes a separate event, as at OpenAI, if requested."""
    head = write_head(chunk, "chat.completion.chunk")
    data = b""
    if chunk.choices or chunk.extra_json:
        body = {**head, "choices": [_write_piece(piece) for piece in chunk.choices]}
        if wants_usage:
            body["usage"] = None  # as OpenAI does in every chunk but the last
        data = event(beneath(body, chunk.extra_json))
    return data + usage_event(chunk, head, wants_usage)


def usage_event(chunk: Any, head: dict[str, Any], wants_usage: bool) -> bytes:
    if not wants_usage or not chunk.HasField("usage"):
        return b""
    return event({**head, "choices": [], "usage": write_usage(chunk.usage)})


def event(body: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def _write_piece(piece: pb.ChunkChoice) -> dict[str, Any]:
    out: dict[str, Any] = {
        "index": piece.index,
        "delta": _write_delta(piece.delta),
    }
    write_finish(piece, out)
    if piece.HasField("logprobs"):
        out["logprobs"] = write_logprobs(piece)
    return beneath(out, piece.extra_json)


def _write_delta(delta: pb.Delta) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if delta.role:
        out["role"] = ROLE_WORDS.get(delta.role, "assistant")
        out["content"] = delta.content
    elif delta.content:
        out["content"] = delta.content
    if delta.refusal:
        out["refusal"] = delta.refusal
    if delta.HasField("thinking"):
        if delta.thinking.text:
            out[thinking_name(delta.thinking)] = delta.thinking.text
        if has_details(delta.thinking):
            out[DETAILS] = [written_piece(delta.thinking)]
    if delta.tool_calls:
        out["tool_calls"] = [_write_call(call) for call in delta.tool_calls]
    return beneath(out, delta.extra_json)


def _write_call(call: pb.ToolCallDelta) -> dict[str, Any]:
    out: dict[str, Any] = {"index": call.index}
    kind = "custom" if call.HasField("custom_input") else "function"
    inner: dict[str, Any] = {"name": call.name} if call.name else {}
    if kind == "custom":
        inner["input"] = call.custom_input
    else:
        inner["arguments"] = call.arguments_json
    if call.id:
        out["id"] = call.id
        out["type"] = kind
    out[kind] = inner
    return beneath(out, call.extra_json)
