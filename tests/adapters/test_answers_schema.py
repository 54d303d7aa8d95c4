"""Every recorded answer, as the gateway gives it to an OpenAI client, against the schema that OpenAI publishes.

What is left is in LEFT, with its reason. Bytes of a provider of OpenAI's format pass unchanged (decision 0006), so what is
unusual in them is the provider's own; what the gateway writes itself is held to the schema but for what it does not know.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from adapters import FORMATS, Task
from tests.adapters.laws import CONTEXT, Case, cases
from tests.adapters.meaning import chunks_of
from tests.processes import REPOSITORY
from tests.shared import shared_path

SCHEMAS = json.loads((REPOSITORY / "tests" / "openai_schema" / "answers.json").read_text(encoding="utf-8"))
CLIENT = FORMATS["openai"].client
KINDS = {Task.CHAT: "chat", Task.COMPLETIONS: "completions", Task.EMBEDDINGS: "embeddings"}
WRITTEN, PASSED = "written", "passed"
Left = tuple[str, str, str, str]  # who made it, kind of answer, place, rule

_UNKNOWN = "the provider does not say it, and nothing is invented"
_CHUNKS = "the schema is that of a whole answer; in a stream both are null until the end"
_OWN = "the provider's own bytes: it leaves the member out, writes null, or has a word of its own"
LEFT: dict[Left, str] = {
    (WRITTEN, "chat", "choices[].finish_reason", "enum"): _UNKNOWN,
    (WRITTEN, "completions", "choices[].finish_reason", "enum"): f"{_UNKNOWN}; {_CHUNKS}",
    (WRITTEN, "completions", "usage", "type"): _CHUNKS,
    (WRITTEN, "completions", "usage", "required prompt_tokens"): _UNKNOWN,
    (WRITTEN, "completions", "usage", "required total_tokens"): _UNKNOWN,
    (WRITTEN, "embeddings", "", "required usage"): _UNKNOWN,
    (PASSED, "completions", "choices[].finish_reason", "enum"): _CHUNKS,
    (PASSED, "completions", "usage", "type"): _CHUNKS,
    (PASSED, "completions", "usage", "required completion_tokens"): _OWN,
    (PASSED, "completions", "object", "enum"): "Together: chunks of completions are called text.completion or a chat's",
    (PASSED, "embeddings", "data[].embedding", "type"): "base64, as asked for; the schema has only numbers",
    (PASSED, "embeddings", "usage", "required prompt_tokens"): "Voyage counts total_tokens only",
    **dict.fromkeys(
        (
            (PASSED, "chat", "", "required object"),
            (PASSED, "chat", "choices[]", "required finish_reason"),
            (PASSED, "chat", "choices[]", "required logprobs"),
            (PASSED, "chat", "choices[]", "required message"),
            (PASSED, "chat", "choices[].finish_reason", "enum"),
            (PASSED, "chat", "choices[].message", "required content"),
            (PASSED, "chat", "choices[].message", "required refusal"),
            (PASSED, "chat", "choices[].message.annotations", "type"),
            (PASSED, "chat", "choices[].message.content", "type"),
            (PASSED, "chat", "choices[].message.function_call", "type"),
            (PASSED, "chat", "choices[].message.tool_calls", "type"),
            (PASSED, "chat", "choices[].message.tool_calls[]", "required type"),
            (PASSED, "chat", "service_tier", "enum"),
            (PASSED, "chat", "system_fingerprint", "type"),
            (PASSED, "chat", "usage.completion_tokens_details", "type"),
            (PASSED, "chat", "usage.prompt_tokens_details", "type"),
            (PASSED, "chat chunk", "", "required object"),
            (PASSED, "chat chunk", "choices[]", "required finish_reason"),
            (PASSED, "chat chunk", "choices[].delta.content", "type"),
            (PASSED, "chat chunk", "choices[].delta.tool_calls", "type"),
            (PASSED, "chat chunk", "choices[].delta.tool_calls[].function.arguments", "type"),
            (PASSED, "chat chunk", "choices[].finish_reason", "enum"),
            (PASSED, "chat chunk", "choices[].logprobs", "required content"),
            (PASSED, "chat chunk", "choices[].logprobs", "required refusal"),
            (PASSED, "chat chunk", "object", "enum"),
            (PASSED, "chat chunk", "service_tier", "enum"),
            (PASSED, "chat chunk", "system_fingerprint", "type"),
            (PASSED, "chat chunk", "usage.completion_tokens", "type"),
            (PASSED, "chat chunk", "usage.completion_tokens_details", "type"),
        ),
        _OWN,
    ),
}


@cache
def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(SCHEMAS[kind])


def answers(case: Case) -> Iterator[Any]:
    """The JSON that an OpenAI client gets of it: one object, or one for each event."""
    client = CLIENT[case.task]
    if case.format.name == "openai":
        text = case.sse.decode() if case.streamed else ""
    elif case.streamed:
        assert client.encode_chunk is not None
        text = "".join(client.encode_chunk(chunk, True).decode() for chunk in chunks_of(case, [case.sse]))
    if case.streamed:
        for line in text.split("\n"):
            data = line.removeprefix("data:").strip()
            if line.startswith("data:") and data not in ("", "[DONE]"):
                yield json.loads(data)
    elif case.format.name == "openai":
        yield json.loads(case.body)
    else:
        yield json.loads(client.encode_response(case.side.decode(case.body, CONTEXT)))


def violations(kind: str, answer: Any) -> Iterator[tuple[str, str]]:
    """Place and rule of what the schema does not allow."""
    for error in validator(kind).iter_errors(answer):
        yield from leaves(error)


def leaves(error: ValidationError) -> Iterator[tuple[str, str]]:
    """Of several schemas the one that comes furthest."""
    while error.context:
        error = max(error.context, key=lambda each: (len(each.absolute_path), each.validator != "type"))
    place = "".join("[]" if isinstance(part, int) else f".{part}" for part in error.absolute_path).removeprefix(".")
    rule = error.validator
    if rule == "required":
        wanted: Any = error.validator_value
        held: Any = error.instance
        missing = [name for name in wanted if name not in held]
        yield from ((place, f"required {name}") for name in missing)
    elif not (place.endswith("finish_reason") and rule == "type"):  # the enum says it too
        yield place, str(rule)


@cache
def found() -> dict[Left, str]:
    """Each violation, with the first recording that has it."""
    out: dict[Left, str] = {}
    for case in cases():
        if case.status != 200 or case.failed:
            continue
        made_by = PASSED if case.format.name == "openai" else WRITTEN
        kind = KINDS[case.task] + (" chunk" if case.streamed and case.task is Task.CHAT else "")
        for answer in answers(case):
            for place, rule in violations(kind, answer):
                out.setdefault((made_by, kind, place, rule), case.path.stem)
    return out


def test_every_answer_keeps_to_the_published_schema_but_for_what_is_listed() -> None:
    assert {left: stem for left, stem in found().items() if left not in LEFT} == {}


def test_each_entry_of_the_list_is_needed() -> None:
    if shared_path() is not None:  # the large set has what the fixtures lack
        assert [left for left in LEFT if left not in found()] == []


@pytest.mark.parametrize("param", [None, "messages"])
@pytest.mark.parametrize("code", [None, "unsupported_parameter"])
def test_errors_keep_to_the_published_schema(param: str | None, code: str | None) -> None:
    encode = FORMATS["openai"].encode_error
    assert encode is not None
    body = json.loads(encode("invalid_request_error", "No.", param, code))
    assert list(violations("error", body)) == []


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({"object": "chat"}, ("object", "enum")),
        ({"choices": [{}]}, ("choices[]", "required message")),
        ({"service_tier": "standard"}, ("service_tier", "enum")),
    ],
)
def test_a_planted_fault_is_found(change: dict[str, Any], left: tuple[str, str]) -> None:
    sound = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": []}
    assert list(violations("chat", sound)) == []
    assert left in list(violations("chat", sound | change))
