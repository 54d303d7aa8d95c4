"""OpenAI's chat completions, whole and streamed, in the shape in which OpenAI sends them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.clients.double.model import Prompt, Turn, pieces, text_of, turn
from tests.provider import Call, Reply, data, error_reply, json_reply, sse_reply

# https://platform.openai.com/docs/api-reference/chat/create; OpenAI refuses others.
MEMBERS = frozenset(
    {"audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "max_completion_tokens"}
    | {"max_tokens", "messages", "metadata", "modalities", "model", "n", "parallel_tool_calls", "prediction"}
    | {"presence_penalty", "prompt_cache_key", "prompt_cache_retention", "reasoning_effort", "response_format"}
    | {"safety_identifier", "seed", "service_tier", "stop", "store", "stream", "stream_options", "temperature"}
    | {"tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity", "web_search_options"}
)
_USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 10,
    "total_tokens": 30,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}


def reply(call: Call) -> Reply:
    body = call.json
    if unknown := sorted(body.keys() - MEMBERS):
        return error_reply(call, 400, f"Unrecognized request argument supplied: {unknown[0]}", "unknown_parameter")
    answer = turn(prompt(body))
    head = {
        "id": f"chatcmpl-{call.id}",
        "created": 1_700_000_000,
        "model": body["model"],
        "service_tier": "default",
        "system_fingerprint": "fp_1",
    }
    if not body.get("stream"):
        return json_reply(
            {**head, "object": "chat.completion", "choices": _choices(body, answer, call), "usage": _USAGE}
        )
    return sse_reply(_events(body, answer, {**head, "object": "chat.completion.chunk"}, call))


def prompt(body: Mapping[str, Any]) -> Prompt:
    tools = {tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in body.get("tools") or ()}
    choice = body.get("tool_choice", "auto")
    last = len(body["messages"])
    while last and body["messages"][last - 1]["role"] == "tool":
        last -= 1
    users = [message for message in body["messages"] if message["role"] == "user"]
    return Prompt(
        text=text_of(users[-1]["content"]) if users else "",
        tools={} if choice == "none" else tools,
        forced="" if choice == "required" else choice["function"]["name"] if isinstance(choice, dict) else None,
        results=tuple(text_of(message["content"]) for message in body["messages"][last:]),
        schema=_schema(body.get("response_format") or {}),
        thinks=False,  # OpenAI shows no thoughts here
    )


def _schema(wanted: Mapping[str, Any]) -> Mapping[str, Any] | None:
    match wanted.get("type"):
        case "json_schema":
            schema: Mapping[str, Any] = wanted["json_schema"]["schema"]
            return schema
        case "json_object":
            return {}
        case _:
            return None


def _calls(answer: Turn, call: Call) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{call.id}_{number}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for number, (name, arguments) in enumerate(answer.calls)
    ]


def _choices(body: Mapping[str, Any], answer: Turn, call: Call) -> list[dict[str, Any]]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None, "refusal": None, "annotations": []}
    if answer.calls:
        message["tool_calls"] = _calls(answer, call)
    finish = "tool_calls" if answer.calls else "stop"
    choice = {"message": message, "logprobs": None, "finish_reason": finish}
    return [{"index": index, **choice} for index in range(body.get("n") or 1)]


def _events(body: Mapping[str, Any], answer: Turn, head: Mapping[str, Any], call: Call) -> list[bytes]:
    with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    usage: dict[str, Any] = {"usage": None} if with_usage else {}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return data({**head, "choices": [choice], **usage, "obfuscation": "aBcD"})

    events = [chunk({"role": "assistant", "content": None if answer.calls else "", "refusal": None})]
    events += [chunk({"content": piece}) for piece in pieces(answer.text)]
    for index, made in enumerate(_calls(answer, call)):
        arguments = made["function"]["arguments"]
        started = {**made, "function": {**made["function"], "arguments": ""}}
        events.append(chunk({"tool_calls": [{"index": index, **started}]}))
        for piece in pieces(arguments):
            events.append(chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))
    events.append(chunk({}, "tool_calls" if answer.calls else "stop"))
    if with_usage:
        events.append(data({**head, "choices": [], "usage": _USAGE}))
    return [*events, data("[DONE]")]
