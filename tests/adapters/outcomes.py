"""What becomes of a request's members with each provider, found out by encoding examples of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from adapters import FORMATS, Context, Format, GatewayError, HttpCall, Kind, Provider, Target, Task, side_of
from adapters.members import CHAT, COMPLETIONS, EMBEDDINGS, NAMES, Member, member_of
from adapters.providers import PROVIDERS
from tests.adapters.request_examples import EXAMPLES, Example

CONTEXT = Context(0, lambda prefix: prefix + "1")
CLIENT = FORMATS["openai"].client
TABLES = {Task.CHAT: CHAT, Task.COMPLETIONS: COMPLETIONS, Task.EMBEDDINGS: EMBEDDINGS}
OPTIONS = {"input_type": "search_document", "default_max_tokens": 100}
REFUSED, LEFT_OUT, SENT, NOTHING = "refused", "left out", "sent", "nothing"


def target_of(row: Provider, **options: Any) -> Target:
    return Target(row, "llama2-70b-chat", "http://h", OPTIONS | options)


def _format(row: Provider, task: Task, options: dict[str, Any]) -> Format:
    """A route may ask for another API of the provider's."""
    api = options.get("chat_api") if task is Task.CHAT else None
    return FORMATS["responses" if api == "responses" else row.format]


def encoded(row: Provider, task: Task, body: dict[str, Any], *, passes: bool = False, **options: Any) -> HttpCall:
    """The call. `passes`: the caller's own bytes, where the provider speaks OpenAI's format."""
    client, target = CLIENT[task], target_of(row, **options)
    side = side_of(_format(row, task, options), target, task)
    assert side is not None
    envelope = client.open(json.dumps(body).encode())
    if passes:
        assert side.patch is not None
        return side.patch(envelope, target)
    call: HttpCall = side.encode(client.decode_request(envelope), target, False, CONTEXT)
    return call


def row_of(example: Example) -> Member:
    found = member_of(example.name, TABLES[example.task])
    assert found is not None, example.name
    return found


def outcome(row: Provider, example: Example, *, passes: bool = False, **options: Any) -> str:
    """What becomes of the example's member."""
    try:
        call = encoded(row, example.task, example.whole, passes=passes, **options)
    except GatewayError as error:
        assert error.kind is Kind.UNSUPPORTED_PARAMETER, error
        assert re.sub(r"\[\d+\]", "[]", error.param or "").startswith(re.split(r"\W", example.name)[0])
        return REFUSED
    assert set(call.left_out) <= NAMES
    before = encoded(row, example.task, example.without, passes=passes, **options)
    if row_of(example).name in set(call.left_out) - set(before.left_out):
        return LEFT_OUT
    return SENT if json.loads(call.body) != json.loads(before.body) else NOTHING


def examples_for(row: Provider, **options: Any) -> Iterator[tuple[Example, bool]]:
    """Examples of conversations that the provider takes at all, and whether the caller's bytes pass."""
    for example in EXAMPLES:
        side = side_of(_format(row, example.task, options), target_of(row, **options), example.task)
        if side is None:
            continue
        try:
            encoded(row, example.task, example.without, **options)
        except GatewayError:
            continue
        yield example, False
        if row.format == "openai" and not options and side.patch is not None:
            yield example, True


# Every row, and what a route may ask of one besides.
CANDIDATES: list[tuple[Provider, dict[str, str]]] = [(row, {}) for row in PROVIDERS.values()]
CANDIDATES.append((PROVIDERS["openai"], {"chat_api": "responses"}))
