"""Requests as examples of every member that OpenAI's description names: without the member, and with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from adapters import Task
from tests.processes import REPOSITORY

_MEMBERS = REPOSITORY / "tests" / "openai_schema" / "requests.json"
JSON = dict[str, Any]
USER: JSON = {"role": "user", "content": "Hi"}
CHAT: JSON = {"model": "r", "messages": [USER]}
COMPLETION: JSON = {"model": "r", "prompt": "Hi"}
EMBEDDING: JSON = {"model": "r", "input": "Hi"}
FUNCTION: JSON = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CUSTOM: JSON = {"type": "custom", "custom": {"name": "c"}}
GRAMMAR: JSON = {"type": "grammar", "grammar": {"definition": "a+", "syntax": "regex"}}
CALL: JSON = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLED: JSON = {"role": "assistant", "tool_calls": [CALL]}
SPOKEN: JSON = {"role": "assistant", "content": "x"}
RESULT: JSON = {"role": "tool", "tool_call_id": "call_1", "content": "42"}
SCHEMA: JSON = {"name": "s", "schema": {"type": "object", "properties": {}}}
CUSTOM_CALL: JSON = {"id": "call_1", "type": "custom", "custom": {"name": "c", "input": "x"}}
PART: JSON = {"type": "text", "text": "Look"}
IMAGE: JSON = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
SOUND: JSON = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
PDF: JSON = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}}
BREAK: JSON = {"prompt_cache_breakpoint": {"mode": "explicit"}}
APPROXIMATE: JSON = {"country": "DE", "region": "BE", "city": "Berlin", "timezone": "Europe/Berlin"}


@dataclass(frozen=True)
class Example:
    """`name` is the member that `whole` has and `without` lacks, by the closed list (adapters/members.py). `asks`: no
    provider may leave it out, unless the route says so."""

    task: Task
    name: str
    asks: bool
    without: JSON
    whole: JSON

    def __str__(self) -> str:
        return f"{self.task} {self.name}: {json.dumps(self.whole.get(self.name, self.whole))}"


def _top(task: Task, base: JSON, values: JSON, *, asks: bool) -> list[Example]:
    return [Example(task, name, asks, base, base | {name: value}) for name, value in values.items()]


def _message(role: str, content: Any, **more: Any) -> JSON:
    """A conversation in which this message stands."""
    message = {"role": role, "content": content, **more}
    match role:
        case "tool":
            return _tools() | {"messages": [USER, CALLED, {"tool_call_id": "call_1"} | message]}
        case "user":
            return CHAT | {"messages": [message]}
    return CHAT | {"messages": [message, USER]}


def _tools(**more: Any) -> JSON:
    return CHAT | {"tools": [FUNCTION]} | more


def _part(part: JSON, role: str = "user") -> JSON:
    return _message(role, [PART, part])


def _form(**more: Any) -> JSON:
    return CHAT | {"response_format": {"type": "json_schema", "json_schema": SCHEMA | more}}


def _function(**more: Any) -> JSON:
    return CHAT | {"tools": [{"type": "function", "function": FUNCTION["function"] | more}]}


_CHAT_ASKS: JSON = {
    "temperature": 0.5,
    "top_p": 0.5,
    "seed": 7,
    "stop": ["END"],
    "n": 2,
    "max_tokens": 9,
    "max_completion_tokens": 9,
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "logit_bias": {"5": 1},
    "logprobs": True,
    "top_logprobs": 2,
    "modalities": ["text", "audio"],
    "audio": {"voice": {"id": "voice_1"}, "format": "wav"},
    "store": True,
    "service_tier": "flex",
    "verbosity": "low",
    "reasoning_effort": "high",
    "web_search_options": {
        "search_context_size": "low",
        "user_location": {"type": "approximate", "approximate": APPROXIMATE},
    },
    "moderation": {"model": "m", "policy": {"input": {"mode": "block"}, "output": {"mode": "block"}}},
    "function_call": {"name": "f"},
    "functions": [{"name": "f", "description": "d", "parameters": {}}],
}
_CHAT_HINTS: JSON = {
    "metadata": {"team": "a"},
    "user": "u",
    "safety_identifier": "u",
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "prompt_cache_options": {"ttl": "30m", "mode": "explicit"},
    "prediction": {"type": "content", "content": [PART | BREAK]},
    "cache_control": {"type": "ephemeral"},
    # What libraries send because it is the default.
    "n": 1,
    "logit_bias": {},
    "verbosity": "medium",
    "store": False,
    "logprobs": False,
    "modalities": ["text"],
    "frequency_penalty": 0,
    "presence_penalty": 0.0,
    "top_logprobs": 0,
    "service_tier": "auto",
    "stop": [""],
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "reasoning_effort": "medium",
    "temperature": 1,
    "top_p": 1,
    "response_format": {"type": "text"},
}
_MORE_HINTS: JSON = {"service_tier": "default", "parallel_tool_calls": True, "tool_choice": "none"}
_COMPLETION_ASKS: JSON = {
    "best_of": 2,
    "echo": True,
    "frequency_penalty": 0.5,
    "logit_bias": {"5": 1},
    "logprobs": 2,
    "max_tokens": 9,
    "n": 2,
    "presence_penalty": 0.5,
    "seed": 7,
    "stop": "END",
    "suffix": "x",
    "temperature": 0.5,
    "top_p": 0.5,
}
_COMPLETION_HINTS: JSON = {"user": "u", "best_of": 1, "echo": False, "logit_bias": {}, "suffix": "", "n": 1}
_EMBEDDING_ASKS: JSON = {"encoding_format": "base64", "dimensions": 8}

# (name, whether it asks, without, whole)
_INSIDE: list[tuple[str, bool, JSON, JSON]] = [
    *(
        ("messages[].name", False, _message(role, "x"), _message(role, "x", name="alice"))
        for role in ("developer", "system", "user", "assistant")
    ),
    *(
        ("messages[].content[].prompt_cache_breakpoint", False, _part(PART, role), _part(PART | BREAK, role))
        for role in ("developer", "system", "user", "assistant", "tool")
    ),
    *(
        ("messages[].content[].prompt_cache_breakpoint", False, _part(part), _part(part | BREAK))
        for part in (IMAGE, SOUND, PDF)
    ),
    *(
        (
            "messages[].cache_control",
            False,
            _message(role, "x"),
            _message(role, "x", cache_control={"type": "ephemeral"}),
        )
        for role in ("system", "user", "assistant", "tool")
    ),
    ("messages[].content[].image_url", True, _message("user", [PART]), _part(IMAGE)),
    ("messages[].content[].input_audio", True, _message("user", [PART]), _part(SOUND)),
    ("messages[].content[].file", True, _message("user", [PART]), _part(PDF)),
    (
        "messages[].content[].file",
        True,
        _message("user", [PART]),
        _part({"type": "file", "file": {"file_id": "file_1"}}),
    ),
    *(
        (
            "messages[].content[].image_url.detail",
            detail == "low",
            _part(IMAGE),
            _part({"type": "image_url", "image_url": IMAGE["image_url"] | {"detail": detail}}),
        )
        for detail in ("low", "auto", "high")
    ),
    (
        "messages[].content[].refusal",
        True,
        _message("assistant", [PART]),
        _part({"type": "refusal", "refusal": "No"}, "assistant"),
    ),
    ("messages[].refusal", True, _message("assistant", "x"), _message("assistant", "x", refusal="No")),
    ("messages[].audio", False, _message("assistant", "x"), _message("assistant", "x", audio={"id": "audio_1"})),
    ("messages[].annotations", False, _message("assistant", "x"), _message("assistant", "x", annotations=[])),
    ("messages[].parsed", False, _message("assistant", "x"), _message("assistant", "x", parsed={"a": 1})),
    (
        "messages[].reasoning_content",
        False,
        _message("assistant", "x"),
        _message("assistant", "x", reasoning_content="Hm"),
    ),
    (
        "messages[].tool_calls[].index",
        False,
        _tools(messages=[USER, CALLED, RESULT]),
        _tools(messages=[USER, {"role": "assistant", "tool_calls": [CALL | {"index": 0}]}, RESULT]),
    ),
    (
        "messages[].tool_calls",
        True,
        _tools(messages=[USER, SPOKEN, RESULT]),
        _tools(messages=[USER, SPOKEN | CALLED, RESULT]),
    ),
    (
        "messages[].tool_calls[].custom",
        True,
        CHAT | {"messages": [USER, SPOKEN | {"tool_calls": [CALL]}, RESULT, RESULT]},
        CHAT | {"messages": [USER, SPOKEN | {"tool_calls": [CALL, CUSTOM_CALL]}, RESULT, RESULT]},
    ),
    (
        "messages[].function_call",
        True,
        _message("assistant", "x"),
        _message("assistant", "x", function_call={"name": "f", "arguments": "{}"}),
    ),
    ("messages[].role", True, CHAT, CHAT | {"messages": [USER, {"role": "function", "name": "f", "content": "42"}]}),
    ("response_format.json_schema", True, CHAT, _form()),
    ("response_format.json_schema.description", False, _form(), _form(description="d")),
    ("response_format.json_schema.strict", True, _form(), _form(strict=True)),
    ("response_format.json_object", True, CHAT, CHAT | {"response_format": {"type": "json_object"}}),
    ("tools", True, CHAT, _tools()),
    ("tools[].function.description", True, _function(), _function(description="d")),
    ("tools[].function.strict", True, _function(), _function(strict=True)),
    ("tools[].function.strict", False, _function(), _function(strict=False)),
    ("tools[].cache_control", False, _tools(), CHAT | {"tools": [FUNCTION | {"cache_control": {"type": "ephemeral"}}]}),
    (
        "tools[].custom",
        True,
        _tools(),
        CHAT
        | {"tools": [FUNCTION, {"type": "custom", "custom": {"name": "c", "description": "d", "format": GRAMMAR}}]},
    ),
    (
        "tools[].custom",
        True,
        _tools(),
        CHAT | {"tools": [FUNCTION, {"type": "custom", "custom": CUSTOM["custom"] | {"format": {"type": "text"}}}]},
    ),
    ("tool_choice", True, _tools(), _tools(tool_choice="required")),
    ("tool_choice", True, _tools(), _tools(tool_choice="none")),
    ("tool_choice", False, _tools(), _tools(tool_choice="auto")),
    ("tool_choice", True, _tools(), _tools(tool_choice={"type": "function", "function": {"name": "f"}})),
    ("tool_choice.custom", True, _tools(), _tools(tool_choice={"type": "custom", "custom": {"name": "c"}})),
    (
        "tool_choice.allowed_tools",
        True,
        _tools(),
        _tools(tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [FUNCTION]}}),
    ),
    ("parallel_tool_calls", False, _tools(), _tools(parallel_tool_calls=True)),
    ("parallel_tool_calls", True, _tools(), _tools(parallel_tool_calls=False)),
]
_STREAM_OPTIONS = [
    ("include_usage", True, True),
    ("include_obfuscation", False, True),
    ("include_obfuscation", False, False),
]
EXAMPLES: list[Example] = [
    *_top(Task.CHAT, CHAT, _CHAT_ASKS, asks=True),
    *_top(Task.CHAT, CHAT, _CHAT_HINTS, asks=False),
    *_top(Task.CHAT, CHAT, _MORE_HINTS, asks=False),
    *(Example(Task.CHAT, *each) for each in _INSIDE),
    *_top(Task.COMPLETIONS, COMPLETION, _COMPLETION_ASKS, asks=True),
    *_top(Task.COMPLETIONS, COMPLETION, _COMPLETION_HINTS, asks=False),
    *(
        Example(task, f"stream_options.{name}", asks, base, base | {"stream_options": {name: value}})
        for task, base in ((Task.CHAT, CHAT), (Task.COMPLETIONS, COMPLETION))
        for name, asks, value in _STREAM_OPTIONS
    ),
    *_top(Task.EMBEDDINGS, EMBEDDING, _EMBEDDING_ASKS, asks=True),
    *_top(Task.EMBEDDINGS, EMBEDDING, {"encoding_format": "float", "user": "u"}, asks=False),
]
# Members of the description that no example leaves out, because a request is made of them.
OF_EVERY_REQUEST = {"model", "stream", "messages", "prompt", "input"}


def published(task: Task) -> set[str]:
    """The names of the members in OpenAI's description."""
    return set(json.loads(_MEMBERS.read_text(encoding="utf-8"))[task.value])


def names_in(value: Any, at: str = "") -> Iterator[str]:
    """The names of the members that a request has, as the description writes them."""
    if isinstance(value, list):
        for each in value:
            yield from names_in(each, f"{at}[]")
    elif isinstance(value, dict):
        word = value.get("role") or value.get("type")
        tag = f"{{{word}}}" if at and isinstance(word, str) else ""
        for name, inner in value.items():
            path = f"{at}{tag}.{name}" if at else name
            yield path
            yield from names_in(inner, path)
