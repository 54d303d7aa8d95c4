"""Thoughts that travel over REST: from Anthropic's blocks into the members that clients keep, and back; and what is left out."""

from __future__ import annotations

import gc
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import FORMATS, Task
from adapters.echo_names import ECHOES
from sidecar.v1 import inference_pb2 as pb
from tests.adapters.thinking import (
    BLOCKS,
    CONTEXT,
    DETAILS,
    FORMAT,
    OPENAI,
    encoded,
    streamed,
    target,
    turn,
    written,
)
from tests.provider.claude import CALLS, REDACTED, TEXT
from tests.provider.claude import THOUGHT as SIGNED

ONLY_SIGNED = BLOCKS[1]


def test_an_answer_has_its_thoughts_as_reasoning_details_in_order_and_their_text_besides() -> None:
    message = written([SIGNED, TEXT, ONLY_SIGNED, REDACTED, *CALLS])
    assert message["reasoning_details"] == DETAILS
    assert message["reasoning_content"] == "I should look."
    assert "reasoning_details" not in written([TEXT])


def test_a_streams_deltas_add_up_to_the_message_of_a_whole_answer() -> None:
    blocks = [SIGNED, TEXT, ONLY_SIGNED, REDACTED, *CALLS]
    message, deltas = streamed(blocks)
    whole = written(blocks)
    details = [
        {"text": "", **entry} if entry["type"] == "reasoning.text" else entry for entry in message["reasoning_details"]
    ]
    assert details == whole["reasoning_details"]
    assert message["reasoning_content"] == whole["reasoning_content"]
    assert all(isinstance(entry["index"], int) for delta in deltas for entry in delta.get("reasoning_details", ()))


@pytest.mark.parametrize("answered", [written, lambda blocks: streamed(blocks)[0]], ids=["whole", "streamed"])
def test_a_message_sent_back_gives_the_provider_its_own_blocks(answered: Any) -> None:
    message = answered([SIGNED, ONLY_SIGNED, REDACTED, TEXT, *CALLS])
    call = encoded(message, "anthropic")
    assert json.loads(call.body)["messages"][1]["content"] == [*BLOCKS, TEXT, *CALLS]
    assert set(call.left_out) <= {"messages[].tool_calls[].index"}, "what only adding up deltas has left"


def test_interleaved_thoughts_stand_first_and_in_their_order() -> None:
    content = turn(written([SIGNED, TEXT, CALLS[0], REDACTED, CALLS[1]]))["content"]
    assert content == [SIGNED, REDACTED, TEXT, *CALLS]


# What a client has that keeps the deltas of a stream one after the other.
PIECES = [
    {"type": "reasoning.text", "text": "I should", "format": FORMAT, "index": 0},
    {"type": "reasoning.text", "text": " look.", "index": 0},
    {"type": "reasoning.text", "signature": "c2lnLTE=", "index": 0},
    *DETAILS[1:],
]
CARRIERS: dict[str, dict[str, Any]] = {
    "pieces of a stream": {"reasoning_content": "I should look.", "reasoning_details": PIECES},
    "litellm with details in its own object": {"provider_specific_fields": {"reasoning_details": DETAILS}},
    "details": {"reasoning_details": DETAILS},
    "format repeated by who adds deltas up": {
        "reasoning_details": [{**each, "format": FORMAT * 3} for each in DETAILS]
    },
    "details without a format": {
        "reasoning_details": [{name: value for name, value in each.items() if name != "format"} for each in DETAILS]
    },
    "blocks": {"thinking_blocks": BLOCKS},
    "litellm": {
        "reasoning_content": "I should look.",
        "thinking_blocks": BLOCKS,
        "provider_specific_fields": {"thinking_blocks": BLOCKS, "reasoning_content": "I should look.", "refusal": None},
    },
    "litellm's own object": {"provider_specific_fields": {"thinking_blocks": BLOCKS}},
    "all at once": {
        "reasoning_content": "I should look.",
        "reasoning": "I should look.",
        "reasoning_details": DETAILS,
        "thinking_blocks": BLOCKS,
    },
}


@pytest.mark.parametrize("members", CARRIERS.values(), ids=CARRIERS)
@pytest.mark.parametrize("content", ["Let me see.", [TEXT]], ids=["string", "parts"])
def test_every_member_that_clients_keep_thoughts_in_gives_them_once(members: dict[str, Any], content: Any) -> None:
    call = encoded({"role": "assistant", "content": content, **members}, "anthropic")
    assert json.loads(call.body)["messages"][1] == {"role": "assistant", "content": [*BLOCKS, TEXT]}
    assert call.left_out == (), "nothing was lost"


def test_blocks_among_the_parts_stay_where_they_stand_and_count_before_other_members() -> None:
    cached = {**SIGNED, "made_up": 1.0}
    message = {"role": "assistant", "content": [cached, TEXT, REDACTED], "reasoning_details": DETAILS[:1]}
    call = encoded(message, "anthropic")
    assert json.loads(call.body)["messages"][1]["content"] == [cached, TEXT, REDACTED]
    assert call.left_out == ()


@pytest.mark.parametrize(
    ("members", "name"),
    [
        ({"reasoning_content": "hm"}, "reasoning_content"),
        ({"reasoning": "hm"}, "reasoning"),
        ({"reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": None}]}, "reasoning_details"),
        (
            {"reasoning_details": [{"type": "reasoning.summary", "summary": "hm", "format": FORMAT}]},
            "reasoning_details",
        ),
        (
            {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x", "format": "openai-responses-v1"}]},
            "reasoning_details",
        ),
        (
            {
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "hm", "signature": "x", "format": "google-gemini-v1"}
                ]
            },
            "reasoning_details",
        ),
        ({"reasoning_details": "hm"}, "reasoning_details"),
        ({"reasoning_details": [7, {"type": "odd"}]}, "reasoning_details"),
        ({"reasoning_details": [{"type": "reasoning.text", "text": 7, "signature": "x"}]}, "reasoning_details"),
        ({"content": [TEXT, {"type": "thinking", "thinking": 7, "signature": "x"}]}, "content[].thinking"),
        ({"thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": ""}]}, "thinking_blocks"),
        ({"provider_specific_fields": {"citations": [1]}}, "provider_specific_fields"),
        ({"content": [TEXT, {"type": "thinking", "thinking": "hm"}]}, "content[].thinking"),
        ({"content": [TEXT, {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}, "content[].thinking"),
        (
            {"content": [TEXT, {"type": "reasoning", "summary": []}, {"type": "reasoning", "text": "x"}]},
            "content[].reasoning",
        ),
        ({"annotations": []}, "annotations"),
        ({"audio": {"id": "a"}}, "audio"),
        ({"parsed": {"a": 1}}, "parsed"),
    ],
)
def test_what_is_unsigned_or_anothers_is_left_out_and_named(members: dict[str, Any], name: str) -> None:
    call = encoded({"role": "assistant", "content": "Let me see.", **members}, "anthropic")
    assert json.loads(call.body)["messages"][1] == {"role": "assistant", "content": "Let me see."}
    assert call.left_out == (f"messages[].{name}",)
    assert set(call.left_out) <= ECHOES


def test_a_thought_that_differs_from_the_signed_one_is_named() -> None:
    message = {"role": "assistant", "content": "x", "reasoning_content": "edited", "reasoning_details": DETAILS}
    call = encoded(message, "anthropic")
    assert json.loads(call.body)["messages"][1]["content"][:3] == BLOCKS
    assert call.left_out == ("messages[].reasoning_content",)


@pytest.mark.parametrize(
    "members",
    [
        {"reasoning_content": ""},
        {"reasoning_details": []},
        {
            "reasoning_details": None,
            "thinking_blocks": None,
            "annotations": None,
            "refusal": None,
            "function_call": None,
        },
        {"provider_specific_fields": {"refusal": None}},
    ],
)
def test_what_is_empty_is_left_out_without_a_word(members: dict[str, Any]) -> None:
    call = encoded({"role": "assistant", "content": "Let me see.", **members}, "anthropic")
    assert json.loads(call.body)["messages"][1] == {"role": "assistant", "content": "Let me see."}
    assert call.left_out == ()


def test_members_that_clients_leave_on_tool_calls_are_left_out_and_named() -> None:
    function = {"name": "find", "arguments": "{}", "parsed_arguments": {"q": 1}}
    call = {"id": "c1", "type": "function", "function": function, "index": 0, "extra_content": {"google": {}}}
    made = encoded({"role": "assistant", "content": None, "tool_calls": [call]}, "anthropic")
    block = {"type": "tool_use", "id": "c1", "name": "find", "input": {}}
    assert json.loads(made.body)["messages"][1]["content"] == [block]
    place = "messages[].tool_calls[]."
    assert set(made.left_out) == {f"{place}index", f"{place}extra_content", f"{place}function.parsed_arguments"}


def test_an_answer_that_was_all_thought_leaves_no_empty_turn() -> None:
    body = json.loads(encoded({"role": "assistant", "content": None, "reasoning_content": "hm"}, "anthropic").body)
    assert [each["role"] for each in body["messages"]] == ["user"]


TEXT_FORMATS = ("cohere", "cohere-v1", "huggingface-text-generation-inference", "openai", "mistral", "groq", "deepseek")


@pytest.mark.parametrize("provider", [*TEXT_FORMATS, "openrouter", "openai-compatible"])
def test_no_provider_refuses_a_history_with_claudes_thoughts(provider: str) -> None:
    parts = [pb.ContentPart(thinking=pb.Thinking(text="hm", signature=b"s", format=FORMAT)), pb.ContentPart(text="So")]
    request = pb.ChatRequest(
        messages=[
            pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="a")]),
            pb.Message(role=pb.ROLE_ASSISTANT, content=parts),
            pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="b")]),
        ]
    )
    before = request.SerializeToString(deterministic=True)
    at = target(provider)
    call = FORMATS[at.provider.format].provider[Task.CHAT].encode(request, at, False, CONTEXT)
    went = provider == "openrouter"
    assert (b"hm" in call.body) is went
    assert call.left_out == (() if went else ("messages[].content[].thinking",))
    assert request.SerializeToString(deterministic=True) == before, "another candidate gets it whole"


def test_a_typed_thought_goes_to_openrouter_in_its_own_convention() -> None:
    parts = [pb.ContentPart(thinking=pb.Thinking(redacted=b"x", format=FORMAT)), pb.ContentPart(text="So")]
    request = pb.ChatRequest(messages=[pb.Message(role=pb.ROLE_ASSISTANT, content=parts)])
    body = json.loads(OPENAI.provider[Task.CHAT].encode(request, target("openrouter"), False, CONTEXT).body)
    details = [{"type": "reasoning.encrypted", "data": "x", "format": FORMAT, "index": 0}]
    assert body["messages"] == [{"role": "assistant", "content": "So", "reasoning_details": details}]


def test_coheres_own_thought_goes_back_as_words_whatever_member_a_client_kept_it_in() -> None:
    thought = {"type": "thinking", "thinking": "hm"}
    details = [{"type": "reasoning.text", "text": "hm", "index": 0}]
    for members in ({"reasoning_content": "hm", "reasoning_details": details}, {"reasoning_details": details}):
        call = encoded({"role": "assistant", "content": "So", **members}, "cohere")
        assert json.loads(call.body)["messages"][1]["content"] == [thought, {"type": "text", "text": "So"}]
        assert call.left_out == ()


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["reasoning.text", "thinking", FORMAT]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "text", "signature", "data", "index", "thinking", "summary"]), inner)
    ),
    max_leaves=12,
)


@given(carrier=st.sampled_from(["reasoning_details", "thinking_blocks", "provider_specific_fields"]), value=_JSON)
def test_whatever_stands_in_a_carrier_the_call_goes_on(carrier: str, value: Any) -> None:
    sent = turn({"role": "assistant", "content": "x", carrier: value})
    assert sent.keys() == {"role", "content"}


def test_many_thoughts_cost_as_much_as_they_are_long() -> None:
    """Ten times as many take some ten times as long; a hundred times would be a comparison of each with each."""

    def seconds(count: int) -> float:
        details = [{**DETAILS[0], "text": str(n), "index": n} for n in range(count)]
        members = {
            "reasoning_details": details,
            "thinking_blocks": [{**SIGNED, "thinking": str(n)} for n in range(count)],
        }
        started = time.process_time()
        assert encoded({"role": "assistant", "content": "x", **members}, "anthropic").left_out == ()
        return time.process_time() - started

    def least(count: int) -> float:
        return min(seconds(count) for _ in range(3))  # what else the machine does can only add to a measurement

    gc.freeze()  # else the collector walks what thousands of tests hold, and that is most of the time
    try:
        seconds(100)
        assert least(10_000) < 40 * least(1_000)
    finally:
        gc.unfreeze()
