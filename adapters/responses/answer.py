"""Encodes a canonical chat answer as a response object of the Responses API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from adapters.contract import Context, Envelope
from adapters.json_object import OBJECTS, beneath
from adapters.other_members import other_members
from adapters.responses.annotations import Annotation, taken_out
from adapters.responses.sealed import sealed
from adapters.responses.tool_names import ToolNames, tool_names, unwrapped
from sidecar.v1 import inference_pb2 as pb

_NULL = msgspec.Raw(b"null")
# Members of the request that the answer repeats, with their defaults.
_REPEATED: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
# Open Responses requires all of them, null if unset.
_ABSENT: Mapping[str, Any] = {
    "background": False,
    "max_tool_calls": None,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "previous_response_id": None,
    "store": False,
}
_INCOMPLETE = {
    pb.FINISH_REASON_LENGTH: "max_output_tokens",
    pb.FINISH_REASON_CONTENT_FILTER: "content_filter",
}
Item = dict[str, Any]


def _repeated(raw: bytes, default: Any) -> Any:
    """The value as the caller wrote it; sections are completed with defaults."""
    if not (isinstance(default, dict) and default):
        return msgspec.Raw(raw)
    return {**default, **OBJECTS.decode(raw)}  # the request was validated: it is an object


class Frame:
    """What all response objects of one call have in common."""

    def __init__(self, envelope: Envelope, context: Context) -> None:
        self.context = context
        self.names: ToolNames = tool_names(envelope.members.get("tools"))
        self._id = context.new_id("resp_")
        self._repeated = {
            name: _repeated(raw, default) if (raw := envelope.members.get(name, b"null")) != b"null" else default
            for name, default in _REPEATED.items()
        }
        self._absent = {**_ABSENT, **{name: msgspec.Raw(raw) for name, raw in envelope.answers.items()}}

    def response(
        self,
        answer: Any,
        status: str,
        output: list[Item],
        usage: pb.Usage | None = None,
        *,
        incomplete: str | None = None,
        error: dict[str, Any] | None = None,
        rest: str = "",
    ) -> dict[str, Any]:
        """`answer` has `created`, `model` and `service_tier`: of an answer or of its first chunk. `rest` is what a provider
        said that no item has a place for (blocks of its own tools, citations), as the text of an object."""
        out = {
            "id": self._id,
            "object": "response",
            "created_at": answer.created,
            "status": status,
            "completed_at": self.context.now_s if status == "completed" else None,
            "error": error,
            "incomplete_details": None if incomplete is None else {"reason": incomplete},
            "model": answer.model,
            "output": output,
            "usage": None if usage is None else write_usage(usage),
            "service_tier": answer.service_tier or "default",
            **self._repeated,
            **self._absent,
        }
        return beneath(out, rest)

    def new_id(self, prefix: str) -> str:
        return self.context.new_id(prefix)


def encode_response(envelope: Envelope, answer: pb.ChatResponse, context: Context) -> bytes:
    """The body. The format has a single choice: the first one."""
    frame = Frame(envelope, context)
    choice = answer.choices[0] if answer.choices else pb.Choice()
    status, incomplete = ending(choice.finish_reason)
    has_text = any(part.text for part in choice.message.content)
    rest = other_members(choice.message)
    annotations, rest = taken_out(rest) if has_text else ([], rest)
    items = _items(frame, choice, annotations)
    items[-1]["status"] = status  # one that is cut off is the last
    usage = answer.usage if answer.HasField("usage") else pb.Usage()
    return msgspec.json.encode(frame.response(answer, status, items, usage, incomplete=incomplete, rest=rest))


def _items(frame: Frame, choice: pb.Choice, annotations: list[Annotation]) -> list[Item]:
    """The items of an answer, at least one, in the order of its parts, as in a stream. Texts and refusals that no thought
    separates are one item."""
    items: list[Item] = []
    texts: list[dict[str, Any]] = []
    for part in choice.message.content:
        match part.WhichOneof("part"):
            case "thinking":
                items.append(reasoning(frame, part.thinking))
            case "text" if part.text:
                shown = _part_to_add(frame, items, "output_text")
                shown["text"] += part.text
                texts += [] if texts and texts[-1] is shown else [shown]
            case "refusal" if part.refusal:
                _part_to_add(frame, items, "refusal")["refusal"] += part.refusal
    items += [call(frame, each) for each in choice.message.tool_calls]
    if not any(item["type"] != "reasoning" for item in items):
        texts.append(text_part(""))
        items.append(message(frame, [texts[-1]], "completed"))
    if texts:
        texts[0]["logprobs"], texts[-1]["annotations"] = logprobs(choice), annotations
    return items


def _part_to_add(frame: Frame, items: list[Item], kind: str) -> dict[str, Any]:
    """The part of the message being written that takes more of this kind: its last one, or a new one."""
    if not items or items[-1]["type"] != "message":
        items.append(message(frame, [], "completed"))
    parts = items[-1]["content"]
    if not parts or parts[-1]["type"] != kind:
        parts.append(text_part("") if kind == "output_text" else refusal_part(""))
    found: dict[str, Any] = parts[-1]
    return found


def ending(finish: pb.FinishReason) -> tuple[str, str | None]:
    """The status, and why it is incomplete."""
    reason = _INCOMPLETE.get(finish)
    return ("completed", None) if reason is None else ("incomplete", reason)


def message(frame: Frame, content: list[dict[str, Any]], status: str, id_: str = "") -> Item:
    return {
        "id": id_ or frame.new_id("msg_"),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def text_part(text: str, logprobs: Any = None, annotations: list[Annotation] | None = None) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": annotations or [], "logprobs": logprobs or []}


def refusal_part(text: str) -> dict[str, Any]:
    return {"type": "refusal", "refusal": text}


def reasoning(frame: Frame, thought: pb.Thinking, id_: str = "", status: str = "completed") -> Item:
    """The text as a summary, and the whole thought in `encrypted_content`."""
    return {
        "id": id_ or frame.new_id("rs_"),
        "type": "reasoning",
        "status": status,
        "summary": [{"type": "summary_text", "text": thought.text}] if thought.text else [],
        "encrypted_content": sealed(thought),
    }


def call(frame: Frame, tool_call: pb.ToolCall, id_: str = "", status: str = "completed") -> Item:
    """A custom tool's call with its text; a function's with its arguments and the namespace that the caller uses."""
    call_id = tool_call.id or frame.new_id("call_")
    custom = tool_call.HasField("custom_input")
    names = frame.names.called(tool_call.name)
    if custom or tool_call.name in frame.names.customs:
        text = tool_call.custom_input if custom else unwrapped(tool_call.arguments_json)
        kind, prefix, rest = "custom_tool_call", "ctc_", {**names, "input": text}
    else:
        kind, prefix, rest = "function_call", "fc_", {**names, "arguments": tool_call.arguments_json or "{}"}
    return {"id": id_ or frame.new_id(prefix), "type": kind, "status": status, "call_id": call_id, **rest}


def logprobs(choice: Any) -> list[dict[str, Any]]:
    """Log probabilities of a choice or a piece."""
    return [{**_logprob(each), "top_logprobs": [_logprob(top) for top in each.top]} for each in choice.logprobs.content]


def _logprob(each: pb.TokenLogprob) -> dict[str, Any]:
    utf8 = each.utf8 if each.HasField("utf8") else each.token.encode()
    return {"token": each.token, "logprob": each.logprob, "bytes": list(utf8)}


def write_usage(counts: pb.Usage) -> dict[str, Any]:
    """Always complete. Unreported counts are 0."""
    total = counts.total_tokens or counts.input_tokens + counts.output_tokens
    return {
        "input_tokens": counts.input_tokens,
        "input_tokens_details": {
            "cached_tokens": counts.cached_input_tokens,
            "cache_write_tokens": counts.cache_write_tokens,
        },
        "output_tokens": counts.output_tokens,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning_tokens},
        "total_tokens": total,
    }
