"""A good body of each kind that a path takes, by the name of its schema in /openapi.json: what is spoiled, one value at a time.

Each has one value of every sort that its readers look at; a path with a new kind of body needs one here.
"""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]

_FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}}
_SAMPLING: Body = {"temperature": 0.5, "max_tokens": 9, "n": 1, "stop": ["a"], "stream": False}
_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
_MESSAGES: list[Body] = [
    {"role": "user", "content": [{"type": "text", "text": "hi"}]},
    {"role": "assistant", "content": None, "tool_calls": [_CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "r"},
]
_CHAT: Body = {
    "messages": _MESSAGES,
    "tools": [{"type": "function", "function": _FUNCTION}],
    "tool_choice": "auto",
    "metadata": {"a": "b"},
    **_SAMPLING,
}
_MESSAGES_API: Body = {
    "max_tokens": 9,
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "r"}]},
    ],
    "system": "s",
    "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
    "tool_choice": {"type": "auto"},
    "temperature": 0.5,
    "thinking": {"type": "disabled"},
}
_RESPONSES: Body = {
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "r"},
    ],
    "instructions": "i",
    "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
    "max_output_tokens": 9,
    "reasoning": {"effort": "low"},
    "text": {"format": {"type": "text"}},
    "store": True,
    "previous_response_id": None,
}
_COMPLETION: Body = {"prompt": "p", "suffix": "x", "echo": False, **_SAMPLING}
_EMBEDDING: Body = {"input": ["a", "b"], "dimensions": 5, "encoding_format": "float"}

BODIES: dict[str, Body] = {
    "ChatRequest": {"model": "chat", **_CHAT},
    "ChatQuery": _CHAT,
    "MessagesRequest": {"model": "chat", **_MESSAGES_API},
    "ResponsesRequest": {"model": "chat", **_RESPONSES},
    "CompletionRequest": {"model": "completions", **_COMPLETION},
    "CompletionQuery": _COMPLETION,
    "EmbeddingRequest": {"model": "embeddings", **_EMBEDDING},
    "EmbeddingQuery": _EMBEDDING,
    "Query": {"messages": [{"role": "user", "content": "hi"}], "temperature": 0.5, "max_tokens": 5, "stop": ["a"]},
    "RouteSpec": {
        "name": "made",
        "route_type": "llm/v1/chat",
        "model": {
            "name": "m",
            "provider": "openai-compatible",
            "config": {"base_url": "http://127.0.0.1:9/v1", "api_key": "sk-planted-0123456789"},
        },
        "timeouts": {"total": 10},
        "limits": [{"requests": 5, "per": "minute"}],
    },
    "Limits": {"route": "embeddings", "limits": [{"calls": 5, "renewal_period": "minute", "key": "user"}]},
}
