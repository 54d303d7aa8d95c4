"""The line of a problem is shown without anything that could be a secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.cli.check import offending


@pytest.mark.parametrize(
    ("line", "path", "shown", "marked"),
    [
        ("    route_type: llm/v1/chta", "routes[0].route_type", "    route_type: llm/v1/chta", "route_type"),
        ("  nam: x  # note", "routes[1].model", "  nam: *** # ...", ""),
        ("{provider: opnai, name: gpt-4o}", "routes[0].model.provider", "{provider: opnai, name: gpt-4o}", "provider"),
        ("config: {openai_api_key: hunter}", "x.openai_api_key", "config: {openai_api_key: ***}", "openai_api_key"),
        ("  openai_api_key:", "x", "  openai_api_key:", ""),
        ("{openai_api_key:sk-abc}", "", "{openai_api_key:***}", ""),
        ("- secretword", "", "- ***", ""),
        ("name: sk-abcdef", "", "name: ***", ""),
        ("\tname: chat", "name", "    name: chat", "name"),
    ],
)
def test_keys_and_harmless_values_are_shown(line: str, path: str, shown: str, marked: str) -> None:
    found, at, width = offending(line, path)
    assert found == shown
    assert found[at : at + width] == marked


_KEYS = st.sampled_from(("sk-", "sk_live_", "dapi", "ghp_", "xai-", "")).flatmap(
    lambda start: st.text(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=24, max_size=60
    ).map(lambda rest: start + rest)
)


@given(
    _KEYS,
    st.sampled_from(
        (
            "api_key: {}",
            "name: {}",
            "{{provider: openai, name: {}}}",
            "{{openai_api_key:{}}}",
            "headers: {{Authorization: Bearer {}}}",
            "- {}",
            "{}",
            "{}: chat",
            "base_url: https://user:{}@host/v1",
            "name: chat # was {}",
            "'{}'",
            'name: "{}"',
            "? {}",
            "name: chat,{}",
        )
    ),
)
def test_a_key_is_never_shown_wherever_somebody_wrote_it(key: str, line: str) -> None:
    shown, _, _ = offending(line.format(key), "routes[0].name")
    assert key not in shown


def test_a_long_line_is_cut() -> None:
    shown, at, width = offending("name: " + "a, " * 400, "name")
    assert len(shown) < 200
    assert shown[at : at + width] == "name"
