"""Laws of the client side of the Messages API: what callers read of any provider's recorded answer is what the provider said."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from adapters import FORMATS, Context, GatewayError, Kind, Task
from tests.adapters.laws import CONTEXT, Case, cases
from tests.adapters.meaning import chunks_of, with_parsed_arguments
from tests.oracles import anthropic as oracle
from tests.oracles import messages

CLIENT = FORMATS["anthropic"].client[Task.CHAT]
CHATS = [case for case in cases() if case.task is Task.CHAT and case.status == 200 and not case.failed]
WHOLE = [case for case in CHATS if not case.streamed]
STREAMS = [case for case in CHATS if case.streamed]
CUT_BYTES = 997
PREFIXES_MAX = 12
CONTEXT_OF_WRITER = Context(1_700_000_000, lambda prefix: prefix + "1")
# Words of OpenAI's format that mean more than one of Anthropic's; a choice with calls ends as one that calls, whatever it says.
FINISHES = {"": "stop", "other": "stop", "error": "stop", "function_call": "tool_calls", None: "stop"}


def name(case: Case) -> str:
    return f"{case.path.parent.name}-{case.path.stem}"


def meaning(answer: dict[str, Any]) -> dict[str, Any]:
    """Text, calls and finish of the first choice, and the counts that both formats have."""
    choice = with_parsed_arguments(answer)["choices"][0]
    finish = FINISHES.get(choice["finish_reason"], choice["finish_reason"])
    if choice["tool_calls"] and finish == "stop":
        finish = "tool_calls"
    usage = answer.get("usage") or {}
    counts = {key: usage.get(key) or 0 for key in ("input_tokens", "output_tokens")}
    return {"text": choice["text"], "tool_calls": choice["tool_calls"], "finish_reason": finish, **counts}


def wanted(case: Case) -> dict[str, Any]:
    """By the provider's oracle, which reads no refusals: theirs are the text here."""
    found = meaning(case.row.oracle.answer(case.recording))
    if '"refusal": "' in (
        text := json.dumps(case.recording["response"]).replace('\\"', '"').replace('"refusal":"', '"refusal": "')
    ):
        refusal = "".join(json.loads(f'"{each}"') for each in re.findall(r'"refusal": "((?:[^"\\]|\\.)*)"', text))
        if refusal:
            return found | {"text": found["text"] + refusal, "finish_reason": "content_filter"}
    return found


def written(chunks: list[Any]) -> bytes:
    writer = CLIENT.writer(CLIENT.open(b'{"model":"m"}'), CONTEXT_OF_WRITER)  # type: ignore[misc]
    return b"".join([writer.feed([chunk]) for chunk in chunks]) + writer.end()


@pytest.mark.parametrize("case", WHOLE, ids=name)
def test_a_whole_answer_reads_as_its_provider_meant_it(case: Case) -> None:
    body = json.loads(CLIENT.encode_response(case.side.decode(case.body, CONTEXT)))
    assert (body["type"], body["role"], body["stop_sequence"]) == ("message", "assistant", None)
    assert meaning(oracle.answer({"response": {"body": body}})) == wanted(case)


@pytest.mark.parametrize("case", STREAMS, ids=name)
def test_a_stream_reads_as_its_provider_meant_it_in_whatever_cuts_it_came(case: Case) -> None:
    pieces = [case.sse[at : at + CUT_BYTES] for at in range(0, len(case.sse), CUT_BYTES)]
    sse = written(chunks_of(case, pieces))
    messages.check(messages.events(sse))
    assert meaning(oracle.answer({"response": {"sse": sse.decode()}})) == wanted(case)


@pytest.mark.parametrize("case", STREAMS[::4], ids=name)
def test_a_stream_that_breaks_off_anywhere_ends_with_an_error(case: Case) -> None:
    chunks = chunks_of(case, [case.sse])
    for count in range(0, len(chunks), max(1, len(chunks) // PREFIXES_MAX)):
        writer = CLIENT.writer(CLIENT.open(b'{"model":"m"}'), CONTEXT_OF_WRITER)  # type: ignore[misc]
        sse = b"".join([writer.feed([chunk]) for chunk in chunks[:count]])
        sse += writer.failed(GatewayError(Kind.UPSTREAM_INTERRUPTED, "Lost."), "req-1")
        events = messages.events(sse)
        messages.check(events, whole=False)
        assert events[-1]["error"] == {"type": "api_error", "message": "Lost."}
        assert "message_stop" not in [event["type"] for event in events]


ANTHROPIC = [case for case in CHATS if case.row.provider.name == "anthropic"]


def blocks(message: dict[str, Any]) -> list[Any]:
    """Texts and calls keep their own order; between each other calls come last."""
    kept = [
        {
            key: value
            for key, value in block.items()
            if key not in ("citations", "caller", "text_of_input") and value != ""
        }
        for block in message["content"]
        if block["type"] in ("text", "thinking", "redacted_thinking", "tool_use")
    ]
    return sorted(kept, key=lambda block: block["type"] == "tool_use")


@pytest.mark.parametrize("case", [case for case in ANTHROPIC if not case.streamed], ids=name)
def test_anthropics_own_answer_written_again_has_the_same_blocks_with_their_signatures(case: Case) -> None:
    body = json.loads(CLIENT.encode_response(case.side.decode(case.body, CONTEXT)))
    theirs = json.loads(case.body)
    assert blocks(body) == blocks(theirs)
    assert (body["id"], body["model"]) == (theirs["id"], theirs["model"])
