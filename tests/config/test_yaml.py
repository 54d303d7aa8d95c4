"""YAML itself: what is refused before anything is read, and what YAML 1.1 makes of innocent words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config import ConfigErrors
from sidecar.domain.snapshot import Snapshot
from tests.config.loading import loaded, problems, route

_LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "config.yaml:1: the file is empty; it needs `routes:` or `endpoints:`"),
        ("# nothing\n", "config.yaml:1: the file is empty; it needs `routes:` or `endpoints:`"),
        ("---\n", "config.yaml:1: the file is empty; it needs `routes:` or `endpoints:`"),
        (route() + "---\nx: 1\n", "config.yaml:5: a second YAML document starts here; a file contains one document"),
        (
            "routes:\n\t- name: x\n",
            "config.yaml:2: not YAML: found character that cannot start any token; indent with blanks, not tabs",
        ),
        ("routes:\n- a: 'b\n", "config.yaml:2: not YAML: found unexpected end of stream"),
        (
            "routes: [1,\n2,\n3\n",
            "config.yaml:3: not YAML: did not find expected ',' or ']'; the enclosing block begins in line 1",
        ),
        ("routes: \x01", "config.yaml:1: character U+0001 is not allowed in YAML"),
        ("routes:\n  \ud800", "config.yaml:2: character U+D800 is not allowed in YAML"),
        (route() + "routes: []\n", 'config.yaml:5: duplicate key "routes"; first in line 1'),
        (
            route("timeouts:\n  idle: 1\n  idle: 2"),
            'config.yaml:7: duplicate key "idle"; first in line 6',
        ),
        (_LAUGHS, "config.yaml:6: more than 1,000,000 values once aliases are expanded"),
        ("a: &a [*a]", "config.yaml:1: an alias (`*name`) is inside what it names"),
        ("a: *b", "config.yaml:1: an alias (`*name`) has no anchor (`&name`) before it"),
        ("[" * 10_000, "config.yaml:1: nested deeper than 32 levels"),
        ("- " * 10_000, "config.yaml:1: nested deeper than 32 levels"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text: str, message: str) -> None:
    assert problems(text) == [message]


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("no", "true or false"),
        ("on", "true or false"),
        ("Yes", "true or false"),
        ("1e3", "a number"),
        ("3.5", "a number"),
        ("0x1F", "a number"),
        ("1:30", "a number"),
        ("2024-01-01", "a date"),
    ],
)
def test_a_word_that_yaml_takes_for_something_else_wants_quotes(written: str, read_as: str) -> None:
    path = "config.yaml:4: routes[0].model.name"
    assert problems(route(name=written)) == [
        f"{path}: expected text, but YAML reads this as {read_as}; put it in quotes"
    ]
    assert loaded(route(name=f'"{written}"')).routes["chat"].upstreams[0].model == written


def test_a_tag_is_refused_but_str_is_understood() -> None:
    assert problems(route(name="!!python/name:os.system x"))[0] == "config.yaml:4: YAML tags (`!...`) are not supported"
    assert loaded(route(name="!!str 35")).routes["chat"].upstreams[0].model == "35"


def test_a_byte_order_mark_is_skipped() -> None:
    assert loaded("\ufeff" + route()).routes.keys() == {"chat"}


def test_anchors_aliases_and_merge_keys_work() -> None:
    text = """\
routes:
  - &one
    name: a
    route_type: llm/v1/chat
    model: &m {provider: openai, name: x, config: {openai_api_key: $OPENAI_API_KEY}}
  - {<<: *one, name: b}
  - {name: c, route_type: llm/v1/chat, model: *m}
"""
    routes = loaded(text).routes
    assert list(routes) == ["a", "b", "c"]
    assert routes["a"].upstreams == routes["b"].upstreams == routes["c"].upstreams


_WORDS = st.sampled_from(
    [
        "routes",
        "endpoints",
        "name",
        "route_type",
        "model",
        "provider",
        "config",
        "openai",
        "openai_api_key",
        "timeouts",
        "llm/v1/chat",
        "$OPENAI_API_KEY",
        "file:x",
        "defaults",
        "headers",
        "ca_file",
        "proxy",
        "no",
        "1",
        "&a",
        "*a",
        "<<",
        "base_url",
        "http://[",
        "limit",
        "limits",
        "requests: 1",
        "per: day",
        "each",
        "budgets",
        "dollars: 0.5",
        "models",
        "fallbacks",
        "strategy: weighted",
        "task_type",
        "destinations",
        "traffic_percentage: 100",
        "consumers",
        "users",
        "allow",
        "admission",
        "concurrent: 1",
        "~",
        "!!str",
        "'",
        '"',
        "{",
        "}",
        "[",
        "]",
        ",",
        "- ",
        ": ",
        "\n",
        "\n  ",
        "\n    ",
    ]
)


@settings(max_examples=300)
@given(st.one_of(st.text(), st.lists(_WORDS).map(" ".join), st.lists(_WORDS).map("".join)))
def test_any_text_gives_a_snapshot_or_config_errors(text: str) -> None:
    try:
        made: Snapshot | ConfigErrors = loaded(text)
    except ConfigErrors as errors:
        made = errors
    assert made.routes if isinstance(made, Snapshot) else made.problems
