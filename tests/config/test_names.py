"""Names of routes: slashes and colons, aliases, wildcards, and what consumers' globs mean with them."""

from __future__ import annotations

import pytest

from tests.config.loading import loaded, problems, route

PLACE = "config.yaml:2: routes[0].name: "


def _named(name: str, extra: str = "", model: str = "gpt-4o-mini") -> str:
    return route(extra, name=f'"{model}"').replace("name: chat", f'name: "{name}"')


def _two(first: str, second: str) -> str:
    return first + second.removeprefix("routes:\n")


@pytest.mark.parametrize(
    "name",
    [
        "openai/gpt-4o",
        "llama3:8b",
        "ft:gpt-4o:org::id",
        "meta-llama/Llama-3.1-8B",
        "a/b/c",
        "limits",
        "mlflow",
        "a/mlflow/b",
    ],
)
def test_names_of_models_are_names_of_routes(name: str) -> None:
    assert list(loaded(_named(name)).routes) == [name]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (".", "cannot be part of a URL"),
        ("..", "cannot be part of a URL"),
        ("a/../b", "cannot be part of a URL"),
        ("a/./b", "cannot be part of a URL"),
        ("/a", "cannot be part of a URL"),
        ("a/", "cannot be part of a URL"),
        ("a//b", "cannot be part of a URL"),
        ("a/..", "cannot be part of a URL"),
        ("limits/a", "begins with limits/"),
        ("a/mlflow", "ends in /mlflow"),
        ("a b", "is not a valid name"),
        ("a*b", "is not a valid name"),
        ("*a", "is not a valid name"),
        ("a%2Fb", "is not a valid name"),
        ("x" * 129, "is not a valid name"),
    ],
)
def test_names_that_paths_would_lose_or_mistake_are_refused(name: str, words: str) -> None:
    (problem,) = problems(_named(name))
    assert problem.startswith(PLACE)
    assert words in problem


def test_aliases_are_names_too_and_taken_once() -> None:
    text = _two(_named("a", "aliases: [b, openai/c]"), _named("d", "aliases: [e]"))
    assert [(each.name, each.aliases) for each in loaded(text).routes.values()] == [
        ("a", ("b", "openai/c")),
        ("d", ("e",)),
    ]
    for wrong in ("b", "a", "openai/c"):
        assert problems(text.replace("[e]", f"[{wrong}]"))[0].startswith("config.yaml:9: routes[1].aliases[0]: ")
    assert 'routes[1].name: "b" is taken; first in line 5' in problems(text.replace('name: "d"', 'name: "b"'))[0]
    assert "expected a list" in problems(_named("a", "aliases: b"))[0]
    assert "is not a valid name" in problems(_named("a", "aliases: ['b*']"))[0]
    assert "a wildcard route cannot have aliases" in problems(_named("a/*", "aliases: [b]", "*"))[0]


def test_a_wildcard_has_its_star_at_the_end_and_a_model_to_put_the_rest_into() -> None:
    for name in ("openai/*", "*", "gpt-*"):
        assert loaded(_named(name, model="*")).warnings == ()
    (warning,) = loaded(_named("openai/*")).warnings
    assert "all names get the same model" in warning
    (problem,) = problems(_named("openai/gpt", model="gpt-*"))
    assert problem.endswith("routes[0].model.name: has a *; only allowed in a wildcard route")


def test_a_split_is_no_wildcard_and_sends_nothing_to_one() -> None:
    split = "  - {{name: {}, task_type: llm/v1/chat, destinations: [{{name: {}, traffic_percentage: 100}}]}}\n"
    text = _named("a/*", model="*")
    assert '"a/*" is a wildcard route' in problems(text + split.format("s", '"a/*"'))[0]
    assert "is not a valid name" in problems(_named("a") + split.format('"s/*"', "a"))[0]


CONSUMER = "consumers: [{name: c, users: [u], %s}]\n"


@pytest.mark.parametrize(
    "rule",
    ["allow: ['openai/*']", "allow: [openai/gpt-4o]", "deny: ['openai/o1-*']", "allow: ['open*']", "allow: ['*4o']"],
)
def test_globs_and_names_of_what_a_wildcard_answers_get_no_warning(rule: str) -> None:
    assert loaded(_named("openai/*", model="*") + CONSUMER % rule).warnings == ()


def test_globs_that_nothing_answers_still_get_one() -> None:
    for rule in ("allow: [anthropic/claude]", "deny: ['anthropic/*']"):
        (warning,) = loaded(_named("openai/*", model="*") + CONSUMER % rule).warnings
        assert "matches no route" in warning


def test_an_alias_in_a_consumers_rules_is_an_error_that_names_the_route() -> None:
    (problem,) = problems(_named("a", "aliases: [b]") + CONSUMER % "deny: [b]")
    assert problem.endswith(
        'consumers[0].deny[0]: "b" is an alias of route "a"; name the route, which covers all its names'
    )


def test_a_consumer_may_be_called_by_its_e_mail_address() -> None:
    snapshot = loaded(route() + "consumers: [{name: alice@example.com, users: [alice@example.com, 'x+y@z']}]\n")
    assert snapshot.consumers is not None
    assert snapshot.consumers[0].name == "alice@example.com"
