"""Every refusal that REST callers can meet, in every format: one wording, in words that they know."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from adapters import FORMATS, GatewayError, Kind, Provider, Task, side_of
from adapters.members import DROPPABLE
from adapters.providers import PROVIDERS
from tests.adapters.outcomes import encoded, target_of
from tests.adapters.request_examples import EXAMPLES, USER

# Names of the typed messages and of gRPC, which nobody knows who writes JSON.
TYPED_WORDS = re.compile(
    r"\w_json\b|tool_error|\bgRPC\b|\bproto|\boneof\b|\bprompts\b|\binputs\b|\.(image|audio|thinking)\b|mime_type|native_name"
)
# Members that formats write themselves: who knows them may send them.
OWN_MEMBERS = ("system", "stop_sequences", "p", "k", "strict_tools", "chat_history", "message", "texts", "parameters")
STRANGE: tuple[Any, ...] = (5, "x", [], {}, [5], {"type": "x"}, True, "", [{}], -1, 1e99)
REFUSAL = re.compile(
    r"Provider '(?P<provider>[^']+)' does not support '(?P<param>[^']+)'(: .+)?\."
    r"( To send such calls without it, list '(?P<name>[^']+)' in the route's drop_params\.)?"
)


def strange_values(value: Any) -> Iterator[Any]:
    """Copies of JSON with one value exchanged, at every place."""
    yield from STRANGE
    if isinstance(value, dict):
        for name, inner in value.items():
            for other in strange_values(inner):
                yield value | {name: other}
        yield value | {"unheard_of": 1}
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            for other in strange_values(inner):
                yield [*value[:index], other, *value[index + 1 :]]


def bodies(task: Task) -> Iterator[dict[str, Any]]:
    for example in EXAMPLES:
        if example.task is not task:
            continue
        yield example.whole
        differing = {name: value for name, value in example.whole.items() if example.without.get(name) != value}
        for name, value in differing.items():
            for strange in strange_values(value):
                yield example.whole | {name: strange}
        for name in OWN_MEMBERS:
            yield example.without | {name: "x"}
        for role in ("system", "user", "assistant", "tool", "function", "developer"):
            yield example.without | {"messages": [USER | {"role": role, "unheard_of": 1, "name": "x"}, USER]}


def refusals(row: Provider) -> tuple[GatewayError, ...]:
    return _refusals(row.name)


@cache
def _refusals(name: str) -> tuple[GatewayError, ...]:
    row = PROVIDERS[name]
    found: dict[str, GatewayError] = {}
    for task in Task:
        if side_of(FORMATS[row.format], target_of(row), task) is None:
            continue
        for body in bodies(task):
            try:
                encoded(row, task, body)
            except GatewayError as error:
                found.setdefault(error.message, error)
    return tuple(found.values())


# One row of each format; the rows of OpenAI's differ in data only.
ROWS = [PROVIDERS[name] for name in ("openai", "anthropic", "cohere", "cohere-v1", "mosaicml", "mlflow-model-serving")]
ROWS += [PROVIDERS[name] for name in ("huggingface-text-generation-inference", "text-embeddings-inference", "mistral")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_no_refusal_has_a_word_that_a_rest_caller_cannot_know(row: Provider) -> None:
    texts = [f"{error.param}: {error.message}" for error in refusals(row)]
    assert len(texts) >= 5
    assert [text for text in texts if TYPED_WORDS.search(text)] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_refusal_of_a_parameter_has_the_one_wording_and_a_name_for_drop_params(row: Provider) -> None:
    for error in refusals(row):
        if error.kind is not Kind.UNSUPPORTED_PARAMETER:
            continue
        match = REFUSAL.fullmatch(error.message)
        assert match is not None, error.message
        assert (match["provider"], match["param"]) == (row.name, error.param)
        assert match["name"] is None or match["name"] in DROPPABLE, error.message


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_refusal_is_the_callers_fault_and_names_a_place(row: Provider) -> None:
    for error in refusals(row):
        assert error.kind in (Kind.UNSUPPORTED_PARAMETER, Kind.INVALID_REQUEST), error
        assert error.param, error.message


@pytest.mark.parametrize("text", ["extra_json: no", "'messages[0].tool_error' no", "'prompts' no", "x.image: no"])
def test_a_planted_word_is_found(text: str) -> None:
    assert TYPED_WORDS.search(text)
