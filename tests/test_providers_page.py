"""docs/reference/providers.md says of each provider what the code does."""

from __future__ import annotations

from dataclasses import replace

from adapters import FORMATS, GatewayError, Target, Task, side_of
from adapters.contract import Context
from adapters.providers import ALIASES, PROVIDERS
from tools import provider_features as features
from tools import providers_page as page


def test_every_provider_and_every_other_name_is_on_the_page() -> None:
    written = page.providers_page()
    assert [name for name in (*PROVIDERS, *ALIASES) if f"`{name}`" not in written] == []


def test_a_feature_that_a_row_forbids_is_not_claimed() -> None:
    row = PROVIDERS["openai"]
    forbidding = replace(row, forbidden=frozenset({"tools"}))
    assert features.feature_cells(row)[1] == "yes"
    assert features.feature_cells(forbidding)[1] == "-"


def test_each_probe_is_taken_by_some_format_and_refused_by_another() -> None:
    """A probe that every format took, or none, would say nothing."""
    cells = [features.feature_cells(row) for row in PROVIDERS.values()]
    assert all(set(column) == {"yes", "-"} for column in zip(*cells, strict=True))


def test_nothing_streams_that_the_adapter_cannot_stream() -> None:
    for row in PROVIDERS.values():
        target = Target(row, "llama2-70b-chat", "http://127.0.0.1", {"default_max_tokens": 1})
        chat = side_of(FORMATS[row.format], target, Task.CHAT)
        claimed = "chat" in features.task_cells(row)[4].split(", ")
        assert claimed == (chat is not None and chat.stream is not None)
        if claimed and chat is not None:
            try:
                chat.encode(features.chat_request(), target, True, Context(0, str))
            except GatewayError as refused:
                raise AssertionError(row.name) from refused
