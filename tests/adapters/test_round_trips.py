"""Requests of both doors, read into the canonical message and written again for a provider of the same format: they are what they
were, but for the equivalences that are listed here. Recorded requests of real programs, and made-up ones."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import FORMATS, GatewayError, Kind, Target, Task
from adapters.providers import PROVIDERS
from tests.adapters.laws import CONTEXT
from tests.shared import shared_path

Body = dict[str, Any]
_ROOT = shared_path()
CLAUDE = Target(PROVIDERS["anthropic"], "claude-sonnet-4-5", "http://h")
GPT = Target(PROVIDERS["openai"], "gpt-5", "http://h")
# Hosted tools are the provider's own: they are left out, and what they have done in the past with them.
HOSTED = ("web_search", "file_search", "code_interpreter", "mcp", "tool_search", "image_generation")


def recorded(door: str) -> list[Path]:
    return sorted((_ROOT / "recordings" / "_agents").glob(f"*__{door}__*.json")) if _ROOT else []


def written(format_: str, body: Body, target: Target) -> Body:
    """By the format's own provider side."""
    client, provider = FORMATS[format_].client[Task.CHAT], FORMATS[format_].provider[Task.CHAT]
    envelope = client.open(json.dumps(body, ensure_ascii=False).encode())
    request: Any = client.decode_request(envelope)
    found: Body = json.loads(provider.encode(request, target, envelope.stream, CONTEXT).body)
    return found


def _blocks(content: Any) -> list[Body]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else [*content]


def messages_normal(body: Body) -> Body:
    """Equal are:

    - a string and one text block; turns of one role after each other and one turn; system turns and blocks of `system`;
    - a result without content and an empty one, without `is_error` and with false;
    - a tool of type custom and one without a type; no tools and an empty list;
    - `output_format`, the beta's name, and `output_config.format`.

    `model` and `stream` are the call's.
    """
    body = {
        name: value for name, value in copy.deepcopy(body).items() if name not in ("model", "stream") and value != []
    }
    if "output_format" in body:
        body.setdefault("output_config", {})["format"] = body.pop("output_format")
    system = _blocks(body.pop("system", []))
    turns: list[Body] = []
    for turn in body["messages"]:
        blocks = _blocks(turn["content"])
        for block in blocks:
            if block["type"] == "tool_result":
                block["content"] = _blocks(block.get("content") or [])
                if not block.get("is_error"):
                    block.pop("is_error", None)
        if turn["role"] == "system":
            system += blocks
        elif turns and turns[-1]["role"] == turn["role"]:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": turn["role"], "content": blocks})
    for tool in body.get("tools", ()):
        if tool.get("type") == "custom":
            del tool["type"]
    return {**body, "messages": turns, **({"system": system} if system else {})}


def responses_normal(body: Body) -> Body:
    """Equal are:

    - a string and one message, or one text; a message with and without its type; answers after each other and one;
    - `instructions` and a first system message; `strict` missing and false; detail missing and auto;
    - functions of a namespace and functions that have its name before theirs; tools that are allowed and all there are;
    - items with and without ids, status, annotations and what SDKs have parsed.

    Left out are OpenAI's own tools, thoughts without what is sealed in them, and what Codex says of itself. Nothing is stored,
    and sealed thoughts are always asked for.
    """
    body = copy.deepcopy(body)
    kept: tuple[str, ...] = (
        "max_output_tokens",
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
        "safety_identifier",
        "temperature",
        "text",
        "tool_choice",
        "top_p",
        "user",
        "service_tier",
    )
    found: Body = {name: body[name] for name in kept if body.get(name) is not None}
    items = body["input"]
    items = [{"role": "user", "content": items}] if isinstance(items, str) else items
    if body.get("instructions"):
        items = [{"role": "system", "content": body["instructions"]}, *items]
    found["input"] = []
    for item in (_item(item) for item in items if not _left_out(item)):
        last = found["input"][-1] if found["input"] else {}
        if last.get("role") == item.get("role") == "assistant":
            last["content"] = last["content"] + item["content"]
        else:
            found["input"].append(item)
    tools = [each for tool in body.get("tools") or () for each in _tools(tool)]
    choice = found.get("tool_choice")
    if isinstance(choice, dict) and choice["type"] == "allowed_tools":
        found["tool_choice"] = choice["mode"]
        tools = [tool for tool in tools if tool["name"] in [each["name"] for each in choice["tools"]]]
    if tools:
        found["tools"] = tools
    else:
        found.pop("tool_choice", None)
        found.pop("parallel_tool_calls", None)
    if body.get("reasoning", {}).get("effort"):
        found["reasoning"] = {"effort": body["reasoning"]["effort"]}
    return found


def _left_out(item: Body) -> bool:
    """A thought without what is sealed in it, or only its name."""
    kind = item.get("type")
    return kind == "item_reference" or (kind == "reasoning" and not item.get("encrypted_content"))


def _tools(tool: Body) -> list[Body]:
    if tool["type"] in HOSTED:
        return []
    if tool["type"] == "namespace":
        return [_tools({**each, "name": f"{tool['name']}__{each['name']}"})[0] for each in tool["tools"]]
    if tool["type"] == "function":
        return [{"strict": False, **{name: value for name, value in tool.items() if value is not None}}]
    return [tool]


def _item(item: Body) -> Body:
    dropped = ("id", "status", "internal_chat_message_metadata_passthrough", "phase", "parsed_arguments")
    item = {name: value for name, value in item.items() if name not in dropped and value is not None}
    if item.get("type", "message") == "message":
        kind = "output_text" if item["role"] == "assistant" else "input_text"
        content = item["content"]
        parts = [{"type": kind, "text": content}] if isinstance(content, str) else content
        for part in parts:
            for name in ("annotations", "logprobs", "parsed"):
                part.pop(name, None)
            if part.get("detail") == "auto":
                del part["detail"]
        item |= {"type": "message", "content": parts}
    if "namespace" in item:
        item["name"] = f"{item.pop('namespace')}__{item['name']}"
    for part in item["output"] if isinstance(item.get("output"), list) else ():
        if part.get("detail") == "auto":
            del part["detail"]
    if isinstance(item.get("output"), list) and all(part["type"] == "input_text" for part in item["output"]):
        item["output"] = "".join(part["text"] for part in item["output"])
    return item


@pytest.mark.parametrize("path", recorded("messages"), ids=lambda path: path.stem)
def test_a_recorded_message_is_written_as_it_was(path: Path) -> None:
    body = json.loads(path.read_text())["body"]
    assert messages_normal(written("anthropic", body, CLAUDE)) == messages_normal(body)


@pytest.mark.parametrize("path", recorded("responses"), ids=lambda path: path.stem)
def test_a_recorded_response_is_written_as_it_was(path: Path) -> None:
    body = json.loads(path.read_text())["body"]
    if not isinstance(body, dict):
        return
    try:
        again = written("responses", body, GPT)
    except GatewayError as error:  # what needs a memory
        assert error.kind is Kind.UNSUPPORTED_PARAMETER
        return
    assert responses_normal(again) == responses_normal(body)


# Blank texts are left out on the way to Anthropic, which refuses them.
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(lambda text: bool(text.strip()))
NAMES = st.from_regex(r"[a-z][a-z_]{0,20}", fullmatch=True)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=3)
CACHED: st.SearchStrategy[Body] = (
    st.just({})
    | st.just({"cache_control": {"type": "ephemeral"}})
    | st.just({"cache_control": {"type": "ephemeral", "ttl": "1h"}})
)
TEXT_BLOCK = st.builds(lambda text, cached: {"type": "text", "text": text, **cached}, TEXTS, CACHED)
IMAGE = st.just({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}})
THOUGHT = st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": "c2ln"}, TEXTS)
TURN = st.tuples(
    st.lists(TEXT_BLOCK | IMAGE, min_size=1, max_size=2),
    st.lists(THOUGHT, max_size=1),
    st.lists(TEXT_BLOCK, min_size=1, max_size=1),
    st.lists(st.tuples(NAMES, OBJECTS, TEXTS, st.booleans()), max_size=3),
)


@given(st.lists(TURN, min_size=1, max_size=3), TEXTS | st.lists(TEXT_BLOCK, min_size=1, max_size=2), st.booleans())
def test_any_conversation_of_messages_is_written_as_it_was(turns: list[Any], system: Any, streams: bool) -> None:
    """Texts, pictures, thoughts, parallel calls with any arguments, results with errors, marks of caches, in their order."""
    history: list[Body] = []
    for number, (blocks, thoughts, texts, calls) in enumerate(turns):
        history.append({"role": "user", "content": blocks})
        uses = [
            {"type": "tool_use", "id": f"toolu_{number}_{n}", "name": name, "input": value}
            for n, (name, value, _, _) in enumerate(calls)
        ]
        history.append({"role": "assistant", "content": [*thoughts, *texts, *uses]})
        if uses:
            results = [
                {"type": "tool_result", "tool_use_id": use["id"], "content": text, "is_error": failed}
                for use, (_, _, text, failed) in zip(uses, calls, strict=True)
            ]
            history.append({"role": "user", "content": results})
    history.append({"role": "user", "content": "go on"})
    names = sorted({name for _, _, _, calls in turns for name, *_ in calls})
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in names]
    body = {"model": "m", "max_tokens": 9, "system": system, "messages": history, "stream": streams, "tools": tools}
    assert messages_normal(written("anthropic", body, CLAUDE)) == messages_normal(body)


ROLES = st.sampled_from(["user", "developer", "system"])
ITEMS: st.SearchStrategy[Callable[[int], list[Body]]] = st.one_of(
    st.builds(lambda role, text: lambda n: [{"role": role, "content": text}], ROLES, TEXTS),
    st.builds(
        lambda text: lambda n: [
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text, "annotations": []}]}
        ],
        TEXTS,
    ),
    st.builds(
        lambda text: lambda n: [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}], "encrypted_content": f"gAAAA{n}"}
        ],
        TEXTS,
    ),
    st.builds(
        lambda name, value, text: lambda n: [
            {"type": "function_call", "call_id": f"c{n}", "name": name, "arguments": json.dumps(value)},
            {"type": "function_call_output", "call_id": f"c{n}", "output": text},
        ],
        NAMES, OBJECTS, TEXTS,
    ),
    st.builds(
        lambda name, value, text: lambda n: [
            {"type": "custom_tool_call", "call_id": f"c{n}", "name": name, "input": value},
            {"type": "custom_tool_call_output", "call_id": f"c{n}", "output": text},
        ],
        NAMES, TEXTS, TEXTS,
    ),
)  # fmt: skip


@given(st.lists(ITEMS, min_size=1, max_size=6), st.none() | TEXTS, st.booleans())
def test_any_conversation_of_responses_is_written_as_it_was(
    made: list[Callable[[int], list[Body]]], instructions: str | None, streams: bool
) -> None:
    """Messages of all roles, thoughts with their sealed content, calls of both kinds and what came of them, in their order."""
    items = [item for number, make in enumerate(made) for item in make(number)]
    items.append({"role": "user", "content": "go on"})
    body = {"model": "m", "input": items, "instructions": instructions, "stream": streams}
    assert responses_normal(written("responses", body, GPT)) == responses_normal(body)
