"""`cors:` names origins as browsers write them; what is none is refused with what to write instead."""

from __future__ import annotations

import pytest

from tests.config.loading import loaded, problems, route


@pytest.mark.parametrize(
    "origin",
    ["https://app.example.com", "https://*.example.com", "http://localhost:*", "http://127.0.0.1:5173"]
    + ["http://[::1]:3000", "chrome-extension://abcdefgh", "https://a-b.example.com:8443", "*"],
)
def test_an_origin_is_taken(origin: str) -> None:
    assert loaded(route() + f"cors: {{origins: ['{origin}']}}\n").cors.origins == (origin,)


def test_case_and_repetition_do_not_matter() -> None:
    text = "cors: {origins: [https://App.Example.com, https://app.example.com]}\n"
    assert loaded(route() + text).cors.origins == ("https://app.example.com",)


@pytest.mark.parametrize(
    ("origin", "hint"),
    [
        ("https://app.example.com/", "an origin has no path and no trailing slash"),
        ("https://app.example.com/chat", "an origin has no path"),
        ("app.example.com", "write the scheme too"),
        ("null", "cannot be told from others"),
        ("https://*", "such as https://app.example.com"),
        ("https://app.*.com", "such as"),
        ("https://user@app.example.com", "such as"),
        ("https://app.example.com:port", "such as"),
        ("http://[::1]:*", "such as"),
    ],
)
def test_what_is_no_origin_is_refused_with_what_to_write(origin: str, hint: str) -> None:
    (problem,) = problems(route() + f"cors: {{origins: ['{origin}']}}\n")
    assert "cors.origins[0]" in problem
    assert hint in problem


def test_every_origin_and_some_is_a_contradiction() -> None:
    (problem,) = problems(route() + "cors: {origins: ['*', https://a.example]}\n")
    assert '"*" allows every origin' in problem


def test_nothing_is_allowed_unless_it_is_written() -> None:
    assert loaded(route()).cors.origins == loaded(route() + "cors: {origins: []}\n").cors.origins == ()
