"""Every member of OpenAI's published requests, with every provider: sent, left out and said, or refused by name."""

from __future__ import annotations

import json
import re

import pytest

from adapters import GatewayError, Kind, Provider, Task
from adapters.members import NEVER_DROPPED, member_of
from adapters.providers import PROVIDERS
from tests.adapters.outcomes import (
    CANDIDATES,
    LEFT_OUT,
    NOTHING,
    REFUSED,
    SENT,
    TABLES,
    encoded,
    examples_for,
    outcome,
    row_of,
)
from tests.adapters.request_examples import EXAMPLES, OF_EVERY_REQUEST, names_in, published

# The gateway itself does these: usage is counted and vectors are packed whatever the provider gives.
BY_THE_GATEWAY = {"stream_options.include_usage", "encoding_format"}
# What a format does anyway, so that no byte differs: it follows each schema, leaves the choice of a tool to the model, and
# writes some values whether or not they were given.
DONE_ANYWAY = {"response_format.json_schema.strict", "response_format", "tool_choice", "tools[].function.strict"}

WRITTEN_ANYWAY = {"logprobs", "messages[].content[].image_url.detail"}


each_candidate = pytest.mark.parametrize(
    ("row", "options"), CANDIDATES, ids=[f"{row.name}{'-'.join(options.values())}" for row, options in CANDIDATES]
)


def plain(name: str) -> str:
    """A name of the description by the closed list: without roles and types."""
    return re.sub(r"\{[^}]*\}", "", name)


@pytest.mark.parametrize("task", list(Task))
def test_every_published_member_is_in_the_closed_list_or_in_one_that_is(task: Task) -> None:
    assert [name for name in published(task) if member_of(plain(name), TABLES[task]) is None] == []


@pytest.mark.parametrize("task", list(Task))
def test_every_published_member_is_in_an_example(task: Task) -> None:
    shown = {name for each in EXAMPLES if each.task is task for name in names_in(each.whole)} | OF_EVERY_REQUEST
    assert published(task) - shown == set()


@each_candidate
def test_what_asks_is_sent_or_refused_and_what_asks_for_nothing_never_refused(
    row: Provider, options: dict[str, str]
) -> None:
    wrong, seen = [], 0
    for example, passes in examples_for(row, **options):
        seen += 1
        allowed = {SENT, REFUSED} if example.asks else {SENT, LEFT_OUT}
        if example.name in BY_THE_GATEWAY or example.name in DONE_ANYWAY:
            allowed |= {NOTHING}
        if not example.asks and example.name in WRITTEN_ANYWAY:
            allowed |= {NOTHING}
        if (found := outcome(row, example, passes=passes, **options)) not in allowed:
            wrong.append((str(example), passes, found))
    assert wrong == []
    assert seen > 1


@each_candidate
def test_a_route_may_drop_each_member_that_a_call_can_do_without(row: Provider, options: dict[str, str]) -> None:
    """And it is said, on every way to the provider."""
    wrong = []
    for example, passes in examples_for(row, **options):
        name = row_of(example).name
        if name in NEVER_DROPPED:
            continue
        call = encoded(row, example.task, example.whole, passes=passes, drop_params=(name,), **options)
        before = encoded(row, example.task, example.without, passes=passes, drop_params=(name,), **options)
        if name not in call.left_out or json.loads(call.body) != json.loads(before.body):
            wrong.append((str(example), passes, call.left_out, call.body))
    assert wrong == []


@each_candidate
def test_a_strict_route_refuses_what_would_be_left_out_unless_it_drops_it(
    row: Provider, options: dict[str, str]
) -> None:
    for example, passes in examples_for(row, **options):
        meant = row_of(example)
        if outcome(row, example, passes=passes, **options) != LEFT_OUT or meant.needed:
            continue
        with pytest.raises(GatewayError) as refused:
            encoded(row, example.task, example.whole, passes=passes, strict=True, **options)
        assert (refused.value.kind, refused.value.param) == (Kind.UNSUPPORTED_PARAMETER, meant.name)
        call = encoded(
            row, example.task, example.whole, passes=passes, strict=True, drop_params=(meant.name,), **options
        )
        assert meant.name in call.left_out


# (provider, member, value or None, outcome): what people's libraries stumbled over.
MEANT: list[tuple[str, str, str]] = [
    ("anthropic", "messages[].name", LEFT_OUT),
    ("anthropic", "prompt_cache_key", LEFT_OUT),
    ("anthropic", "response_format.json_schema.description", SENT),
    ("anthropic", "messages[].cache_control", SENT),
    ("anthropic", "user", SENT),
    ("anthropic", "metadata", LEFT_OUT),
    ("cohere", "messages[].name", LEFT_OUT),
    ("cohere", "messages[].cache_control", LEFT_OUT),
    ("cohere", "response_format.json_object", SENT),
    ("cohere", "tools[].custom", REFUSED),
    ("mosaicml", "messages[].name", LEFT_OUT),
    ("mosaicml", "seed", SENT),
    ("groq", "messages[].name", LEFT_OUT),
    ("mistral", "messages[].name", LEFT_OUT),
    ("mistral", "metadata", SENT),
    ("mistral", "messages[].content[].prompt_cache_breakpoint", LEFT_OUT),
    ("mistral", "tools[].cache_control", LEFT_OUT),
    ("mistral", "stream_options.include_obfuscation", LEFT_OUT),
    ("gemini", "metadata", LEFT_OUT),
    ("gemini", "response_format.json_object", SENT),
    ("openai", "messages[].name", SENT),
    ("openai", "prompt_cache_key", SENT),
]


@pytest.mark.parametrize(("provider", "name", "wanted"), MEANT)
def test_members_that_peoples_libraries_send(provider: str, name: str, wanted: str) -> None:
    row = PROVIDERS[provider]
    found = {outcome(row, each, passes=passes) for each, passes in examples_for(row) if each.name == name}
    assert found == {wanted}
