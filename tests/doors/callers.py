"""The four doors as their callers use them: one neutral request written in each, one neutral answer read from each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from tests.doors.grpc_caller import GrpcCaller
from tests.doors.neutral import PNG, SCHEMA, SYSTEM, TOOL, Answer, Ask, Call
from tests.oracles import messages as message_events

Body = dict[str, Any]


class Caller(Protocol):
    """`request` is the body or message, `read` reads a whole answer, `read_stream` what a stream adds up to; `too_many` is the
    status of a provider's 429."""

    @property
    def path(self) -> str: ...
    @property
    def too_many(self) -> object: ...
    def request(self, ask: Ask) -> Any: ...
    def read(self, body: Any) -> Answer: ...
    def read_stream(self, text: Any) -> Answer: ...


def _events(text: str) -> list[Body]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ") and line != "data: [DONE]"]


@dataclass(frozen=True, slots=True)
class Chat:
    path: str = "/v1/chat/completions"
    too_many: object = (429, "rate_limit_error")

    def request(self, ask: Ask) -> Body:
        content: Any = ask.text
        if ask.image:
            url = {"url": f"data:image/png;base64,{PNG}"}
            content = [{"type": "text", "text": ask.text}, {"type": "image_url", "image_url": url}]
        turns: list[Body] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": content}]
        if ask.after is not None:
            turns.append(ask.after.native)
            turns += [
                {"role": "tool", "tool_call_id": call.id, "content": f"found {n}"}
                for n, call in enumerate(ask.after.calls)
            ]
        body: Body = {"model": ask.route, "messages": turns, "stream": ask.stream, "max_completion_tokens": 4096}
        if ask.stream:
            body["stream_options"] = {"include_usage": True}
        if ask.tools:
            body["tools"] = [{"type": "function", "function": {"name": TOOL, "parameters": {"type": "object"}}}]
        if ask.thinks:
            body["reasoning_effort"] = "high"
        if ask.schema:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA}}
        return body

    def read(self, body: Body) -> Answer:
        message = body["choices"][0]["message"]
        return self._answer(message, body["choices"][0]["finish_reason"], body["usage"])

    def read_stream(self, text: str) -> Answer:
        message: Body = {"role": "assistant", "content": ""}
        calls: dict[int, Body] = {}
        details: dict[int, Body] = {}
        finish = ""
        usage: Body = {}
        for event in _events(text):
            usage = event.get("usage") or usage
            for choice in event["choices"]:
                delta, finish = choice["delta"], choice["finish_reason"] or finish
                message["content"] += delta.get("content") or ""
                if delta.get("reasoning_content"):
                    message["reasoning_content"] = message.get("reasoning_content", "") + delta["reasoning_content"]
                for each in delta.get("reasoning_details") or ():
                    _merged(details.setdefault(each.get("index", 0), {}), each)
                for each in delta.get("tool_calls") or ():
                    call = calls.setdefault(
                        each["index"], {"type": "function", "id": "", "function": {"name": "", "arguments": ""}}
                    )
                    call["id"] += each.get("id") or ""
                    call["function"]["name"] += each["function"].get("name") or ""
                    call["function"]["arguments"] += each["function"].get("arguments") or ""
        message |= {"tool_calls": [*calls.values()]} if calls else {}
        message |= {"reasoning_details": [*details.values()]} if details else {}
        return self._answer(message, finish, usage)

    def _answer(self, message: Body, finish: str, usage: Body) -> Answer:
        calls = [
            Call(each["id"], each["function"]["name"], json.loads(each["function"]["arguments"]))
            for each in message.get("tool_calls") or ()
        ]
        counts = (usage["prompt_tokens"], usage["completion_tokens"]) if usage else None
        return Answer(message["content"], message.get("reasoning_content") or "", calls, finish, counts, message)


def _merged(into: Body, more: Body) -> None:
    for name, value in more.items():
        into[name] = into[name] + value if name in into and name in ("text", "summary", "data") else value


@dataclass(frozen=True, slots=True)
class Messages:
    path: str = "/v1/messages"
    too_many: object = (429, "rate_limit_error")

    def request(self, ask: Ask) -> Body:
        content: Any = ask.text
        if ask.image:
            source = {"type": "base64", "media_type": "image/png", "data": PNG}
            content = [{"type": "text", "text": ask.text}, {"type": "image", "source": source}]
        turns: list[Body] = [{"role": "user", "content": content}]
        if ask.after is not None:
            results = [
                {"type": "tool_result", "tool_use_id": call.id, "content": f"found {n}"}
                for n, call in enumerate(ask.after.calls)
            ]
            turns += [{"role": "assistant", "content": ask.after.native}, {"role": "user", "content": results}]
        body: Body = {"model": ask.route, "max_tokens": 4096, "system": SYSTEM, "messages": turns, "stream": ask.stream}
        if ask.tools:
            body["tools"] = [{"name": TOOL, "input_schema": {"type": "object"}}]
        config: Body = {"effort": "high"} if ask.thinks else {}
        config |= {"format": {"type": "json_schema", "schema": SCHEMA}} if ask.schema else {}
        return body | ({"output_config": config} if config else {})

    def read(self, body: Body) -> Answer:
        usage, blocks = body["usage"], body["content"]
        calls = [Call(block["id"], block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"]
        text, thought = (
            "".join(block[kind] for block in blocks if block["type"] == kind) for kind in ("text", "thinking")
        )
        counts = (usage["input_tokens"] + (usage.get("cache_read_input_tokens") or 0), usage["output_tokens"])
        finish = {"end_turn": "stop", "tool_use": "tool_calls"}[body["stop_reason"]]
        return Answer(text, thought, calls, finish, counts, blocks)

    def read_stream(self, text: str) -> Answer:
        events = message_events.events(text.encode())
        message_events.check(events)
        whole: Body = {}
        partial: dict[int, str] = {}
        for each in events:
            if each["type"] == "message_start":
                whole = each["message"]
            elif each["type"] == "content_block_start":
                whole["content"].append(each["content_block"])
            elif each["type"] == "content_block_delta":
                block, delta = whole["content"][each["index"]], each["delta"]
                for name in ("text", "thinking", "signature"):
                    if name in delta:
                        block[name] = block.get(name, "") + delta[name]
                partial[each["index"]] = partial.get(each["index"], "") + delta.get("partial_json", "")
            elif each["type"] == "message_delta":
                whole |= each["delta"]
                whole["usage"] |= each["usage"]
        for index, arguments in partial.items():
            if arguments:
                whole["content"][index]["input"] = json.loads(arguments)
        return self.read(whole)


@dataclass(frozen=True, slots=True)
class Responses:
    path: str = "/v1/responses"
    too_many: object = (429, "rate_limit_error")

    def request(self, ask: Ask) -> Body:
        content: Any = ask.text
        if ask.image:
            picture = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}
            content = [{"type": "input_text", "text": ask.text}, picture]
        items: list[Body] = [{"role": "user", "content": content}]
        if ask.after is not None:
            items += ask.after.native
            items += [
                {"type": "function_call_output", "call_id": call.id, "output": f"found {n}"}
                for n, call in enumerate(ask.after.calls)
            ]
        body: Body = {"model": ask.route, "instructions": SYSTEM, "input": items, "stream": ask.stream, "store": False}
        if ask.tools:
            body["tools"] = [{"type": "function", "name": TOOL, "parameters": {"type": "object"}, "strict": False}]
        if ask.thinks:
            body["reasoning"] = {"effort": "high"}
        if ask.schema:
            body["text"] = {"format": {"type": "json_schema", "name": "city", "schema": SCHEMA}}
        return body

    def read(self, body: Body) -> Answer:
        output, usage = body["output"], body["usage"]
        assert body["status"] == "completed"
        calls = [
            Call(item["call_id"], item["name"], json.loads(item["arguments"]))
            for item in output
            if item["type"] == "function_call"
        ]
        text = "".join(part["text"] for item in output if item["type"] == "message" for part in item["content"])
        thought = "".join(part["text"] for item in output if item["type"] == "reasoning" for part in item["summary"])
        counts = (usage["input_tokens"], usage["output_tokens"])
        return Answer(text, thought, calls, "tool_calls" if calls else "stop", counts, output)

    def read_stream(self, text: str) -> Answer:
        """The last event has it all; its parts say the same."""
        events = _events(text)
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        answer = self.read(events[-1]["response"])
        done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        assert done == events[-1]["response"]["output"]
        deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
        assert "".join(deltas) == answer.text
        return answer


CALLERS: Mapping[str, Caller] = MappingProxyType(
    {"chat": Chat(), "messages": Messages(), "responses": Responses(), "grpc": GrpcCaller()}
)
