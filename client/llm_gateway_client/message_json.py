"""Writes messages of the typed service as JSON of OpenAI's format: an answer's `raw`, and the results of MLflow's
functions.

Members without a field in the messages (`extra_json`) are added; named ones take precedence.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from llm_gateway_client.gateway_tables import SERVICE_TIERS
from llm_gateway_client.json_values import USAGE_MEMBERS
from llm_gateway_client.openai_messages import ROLES, THOUGHTS
from llm_gateway_client.thought_details import DETAILS, delta_details, message_details
from llm_gateway_client.v1 import inference_pb2 as pb

_ROLE_WORDS = {role: word for word, role in ROLES.items()}
_FINISH_WORDS = {
    pb.FINISH_REASON_STOP: "stop",
    pb.FINISH_REASON_LENGTH: "length",
    pb.FINISH_REASON_TOOL_CALLS: "tool_calls",
    pb.FINISH_REASON_CONTENT_FILTER: "content_filter",
    pb.FINISH_REASON_FUNCTION_CALL: "function_call",
}
JsonObject = dict[str, Any]


def role_word(role: pb.Role) -> str:
    """OpenAI's name of a role; a provider's own role counts as the assistant's."""
    return _ROLE_WORDS.get(role, "assistant")


def finish_word(choice: Any) -> str | None:
    """OpenAI's reason; "stop" if it has none for the provider's. None while the choice has not ended."""
    return _FINISH_WORDS.get(choice.finish_reason, "stop") if choice.finish_reason else None


def _with_finish(choice: Any, out: JsonObject) -> JsonObject:
    """`finish_reason`, and the provider's word if OpenAI has none."""
    out["finish_reason"] = finish_word(choice)
    if choice.finish_reason == pb.FINISH_REASON_OTHER and choice.native_finish_reason:
        out["native_finish_reason"] = choice.native_finish_reason
    return out


def chat_json(answer: pb.ChatResponse) -> JsonObject:
    out = head_json(answer, "chat.completion")
    out["choices"] = [
        _beneath(
            _with_finish(
                each,
                {"index": each.index, "message": message_json(each.message), "logprobs": _logprobs_json(each)},
            ),
            each.extra_json,
        )
        for each in answer.choices
    ]
    return _with_usage(out, answer)


def chunk_json(chunk: pb.StreamChatResponse) -> JsonObject:
    """Without usage."""
    out = head_json(chunk, "chat.completion.chunk")
    out["choices"] = [_piece_json(each) for each in chunk.choices]
    return _beneath(out, chunk.extra_json)


def completion_json(answer: pb.CompleteResponse | pb.StreamCompleteResponse, *, with_usage: bool = True) -> JsonObject:
    out = head_json(answer, "text_completion")
    out["choices"] = [
        _beneath(
            _with_finish(
                each,
                {
                    "index": each.index,
                    "text": each.text,
                    "logprobs": json.loads(each.logprobs_json) if each.logprobs_json else None,
                },
            ),
            each.extra_json,
        )
        for each in answer.choices
    ]
    return _with_usage(out, answer) if with_usage else _beneath(out, answer.extra_json)


def embeddings_json(answer: pb.EmbedResponse) -> JsonObject:
    rows = []
    for each in answer.embeddings:
        packed = each.WhichOneof("vector") == "packed"
        vector = base64.b64encode(each.packed).decode() if packed else list(each.values.values)
        rows.append(_beneath({"object": "embedding", "index": each.index, "embedding": vector}, each.extra_json))
    out = _with_usage({"object": "list", "model": answer.model, "data": rows}, answer)
    if answer.HasField("usage") and answer.usage.HasField("input_tokens"):  # usage consists of the input
        out["usage"].setdefault("total_tokens", answer.usage.input_tokens)
    return out


def head_json(answer: Any, object_: str) -> JsonObject:
    """Id, time and model, which all answers but embeddings have."""
    out = {"id": answer.id, "object": object_, "created": answer.created, "model": answer.model}
    if "system_fingerprint" in answer.DESCRIPTOR.fields_by_name and answer.HasField("system_fingerprint"):
        out["system_fingerprint"] = answer.system_fingerprint
    if (tier := service_tier(answer)) is not None:
        out["service_tier"] = tier
    return out


def service_tier(answer: Any) -> str | None:
    """OpenAI's name for the tier; None if the answer has none, or one that OpenAI does not have."""
    if "service_tier" not in answer.DESCRIPTOR.fields_by_name or not answer.HasField("service_tier"):
        return None
    return SERVICE_TIERS.get(answer.service_tier)


def usage_json(usage: pb.Usage) -> JsonObject:
    """Counts that the provider did not give are absent."""
    out: JsonObject = json.loads(usage.extra_json) if usage.extra_json else {}
    for name, (*groups, member) in USAGE_MEMBERS.items():
        if usage.HasField(name):
            into = out
            for group in groups:
                if not isinstance(into.get(group), dict):
                    into[group] = {}
                into = into[group]
            into[member] = getattr(usage, name)
    return out


def message_json(message: pb.Message) -> JsonObject:
    """Texts are joined, since OpenAI has one string."""
    kinds = [(part.WhichOneof("part"), part) for part in message.content]
    texts = [part.text for kind, part in kinds if kind == "text"]
    refusals = [part.refusal for kind, part in kinds if kind == "refusal"]
    out: JsonObject = {
        "role": role_word(message.role),
        "content": "".join(texts) if texts else None,
        "refusal": "".join(refusals) if refusals else None,
    }
    for kind, part in kinds:
        _add_other(kind, part, out)
    for kind, part in kinds:
        if kind == "thinking" and part.thinking.text:
            name = _thought_member(part.thinking)
            out[name] = out.get(name, "") + part.thinking.text
    if details := message_details(message):
        out[DETAILS] = details
    if message.tool_calls:
        out["tool_calls"] = [_call_json(each) for each in message.tool_calls]
    return _beneath(out, message.extra_json)


def _add_other(kind: str | None, part: pb.ContentPart, out: JsonObject) -> None:
    """Adds what OpenAI has no member for: blocks of server tools and the like, and lists of a text (`citations`)."""
    if kind == "other_json":
        out.setdefault("content_blocks", []).append(json.loads(part.other_json))
    elif kind == "text" and part.extra_json:
        for name, value in json.loads(part.extra_json).items():
            if isinstance(value, list) and isinstance(out.get(name, []), list):
                out.setdefault(name, []).extend(value)


def _thought_member(thinking: pb.Thinking | pb.ThinkingDelta) -> str:
    return thinking.native_name if thinking.native_name in THOUGHTS else THOUGHTS[0]


def _call_json(call: pb.ToolCall) -> JsonObject:
    if call.HasField("custom_input"):
        kind, inner = "custom", {"name": call.name, "input": call.custom_input}
    else:
        kind, inner = "function", {"name": call.name, "arguments": call.arguments_json or "{}"}
    return _beneath({"id": call.id, "type": kind, kind: _beneath(inner, call.function_extra_json)}, call.extra_json)


def _piece_json(piece: pb.ChunkChoice) -> JsonObject:
    delta, written = piece.delta, JsonObject()
    if delta.role:
        written["role"] = role_word(delta.role)
    if delta.role or delta.content:
        written["content"] = delta.content
    if delta.refusal:
        written["refusal"] = delta.refusal
    if delta.thinking.text:
        written[_thought_member(delta.thinking)] = delta.thinking.text
    if details := delta_details(delta):
        written[DETAILS] = details
    if delta.tool_calls:
        written["tool_calls"] = [_call_piece_json(each) for each in delta.tool_calls]
    out: JsonObject = {"index": piece.index, "delta": _beneath(written, delta.extra_json)}
    _with_finish(piece, out)
    if piece.HasField("logprobs"):
        out["logprobs"] = _logprobs_json(piece)
    return _beneath(out, piece.extra_json)


def _call_piece_json(call: pb.ToolCallDelta) -> JsonObject:
    kind = "custom" if call.HasField("custom_input") else "function"
    inner = {"name": call.name} if call.name else {}
    inner["input" if kind == "custom" else "arguments"] = call.custom_input or call.arguments_json
    out: JsonObject = {"index": call.index, **({"id": call.id, "type": kind} if call.id else {}), kind: inner}
    return _beneath(out, call.extra_json)


def _logprobs_json(choice: pb.Choice | pb.ChunkChoice) -> JsonObject | None:
    if not choice.HasField("logprobs"):
        return None
    content = [_token_json(each, with_top=True) for each in choice.logprobs.content]
    refusal = [_token_json(each, with_top=True) for each in choice.logprobs.refusal]
    return {"content": content or None, "refusal": refusal or None}


def _token_json(token: pb.TokenLogprob, *, with_top: bool) -> JsonObject:
    utf8 = list(token.utf8) if token.HasField("utf8") else None
    out: JsonObject = {"token": token.token, "logprob": token.logprob, "bytes": utf8}
    if with_top:
        out["top_logprobs"] = [_token_json(each, with_top=False) for each in token.top]
    return out


def _with_usage(out: JsonObject, answer: Any) -> JsonObject:
    if answer.HasField("usage"):
        out["usage"] = usage_json(answer.usage)
    return _beneath(out, answer.extra_json)


def _beneath(out: JsonObject, extra_json: str) -> JsonObject:
    """Named members take precedence over extra ones."""
    return {**json.loads(extra_json), **out} if extra_json else out
