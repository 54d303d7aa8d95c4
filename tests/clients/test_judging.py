"""What judges the clients can fail, and the double refuses what the real API refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.double import ANSWER
from tests.clients.double.anthropic_rules import broken_rule
from tests.clients.judging import CITY, problem

USER = {"role": "user", "content": "hi"}
CALL = {"type": "tool_use", "id": "t1", "name": "find", "input": {}}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "signed hm"}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "42"}]}
TOOL = {"name": "find", "input_schema": {"type": "object"}}


def sign(thought: str) -> str:
    return f"signed {thought}"


def body(*messages: dict[str, Any], **members: Any) -> dict[str, Any]:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    return {
        "model": "m",
        "max_tokens": 2048,
        "messages": [USER, *messages],
        "thinking": thinking,
        "tools": [TOOL],
        **members,
    }


def called(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": [*blocks, CALL]}


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        ("answer", ANSWER, "London"),
        ("stream", ["The capital", " of France is Paris."], [ANSWER]),
        ("stream", ["The capital", " of France is Paris."], ["The capital", " of France"]),
        ("tools", "The tool says: 21 degrees.", "I have no tools."),
        ("structured", CITY, {"city": "Paris", "population": 1}),
        ("structured", {"tool": CITY, "json": CITY}, {"tool": CITY, "json": {"error": "400"}}),
        ("test_of_a_suite", "passed", {"error": "AssertionError"}),
    ],
)
def test_a_wrong_result_is_a_problem(check: str, right: Any, wrong: Any) -> None:
    assert problem("gpt", check, right) is None
    assert problem("gpt", check, wrong) is not None


def test_thoughts_go_back_with_the_results_of_tools() -> None:
    assert broken_rule(body(called(THOUGHT), RESULT), sign) is None
    assert broken_rule(body(called(THOUGHT), RESULT, called(), RESULT), sign) is None, "it thinks once a turn"


@pytest.mark.parametrize(
    ("request_body", "message"),
    [
        (body(called(), RESULT), "Expected `thinking`"),
        (body(called({**THOUGHT, "thinking": "other"}), RESULT), "Invalid `signature`"),
        (body(called(THOUGHT), USER), "without `tool_result`"),
        (body(RESULT), "unexpected `tool_use_id`"),
        (body({**USER, "name": "bob"}), "messages.1.name: Extra inputs are not permitted"),
        (body({"role": "assistant", "content": " "}, USER), "non-whitespace"),
        (body(seed=1), "seed: Extra inputs are not permitted"),
        (body(temperature=0), "may only be set to 1"),
        (body(tool_choice={"type": "any"}), "forces tool use"),
    ],
)
def test_what_the_api_refuses_is_refused(request_body: dict[str, Any], message: str) -> None:
    assert message in (broken_rule(request_body, sign) or "")
