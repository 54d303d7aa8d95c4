"""Whatever JSON text a caller puts into a request, Anthropic's adapter makes one valid JSON body or says what is wrong."""

from __future__ import annotations

import json

from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from adapters.anthropic import FORMAT
from adapters.contract import Context, HttpCall, Target, Task
from adapters.errors import GatewayError, Kind
from adapters.providers import PROVIDERS
from sidecar.v1 import inference_pb2 as pb

CONTEXT = Context(0, lambda prefix: prefix)
TARGET = Target(PROVIDERS["anthropic"], "claude-sonnet-4-5", "https://api.anthropic.com")

WORDS = st.sampled_from(
    ["type", "text", "model", "top_k", "name", "input", "source", "output_config", "effort", "é\u2028"]
)
VALUES = st.recursive(
    st.none() | st.floats() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
# json.dumps writes NaN and Infinity, which are not JSON; text that is no JSON at all comes beside.
JSON_TEXT = st.dictionaries(WORDS, VALUES, max_size=3).map(json.dumps) | VALUES.map(json.dumps) | st.text(max_size=6)

PARTS = st.one_of(
    JSON_TEXT.map(lambda text: pb.ContentPart(other_json=text)),
    JSON_TEXT.map(lambda text: pb.ContentPart(text="x", extra_json=text)),
    JSON_TEXT.map(lambda text: pb.ContentPart(other_json="{}", extra_json=text)),
    st.text(max_size=20).map(lambda url: pb.ContentPart(image=pb.Image(url="data:" + url))),
    st.binary(max_size=6).map(lambda data: pb.ContentPart(thinking=pb.Thinking(signature=data))),
    st.binary(max_size=6).map(lambda data: pb.ContentPart(file=pb.File(data=data, mime_type="text/plain"))),
)
MESSAGES = st.builds(
    lambda role, content, text: pb.Message(
        role=role,
        content=content,
        tool_call_id="t" if role == pb.ROLE_TOOL else None,
        tool_calls=[pb.ToolCall(id="t", name="f", arguments_json=text)] if role == pb.ROLE_ASSISTANT else [],
    ),
    st.sampled_from(pb.Role.values()),
    st.lists(PARTS, max_size=2),
    JSON_TEXT,
)
REQUESTS = st.builds(
    lambda messages, schema, tool, extra: pb.ChatRequest(
        messages=messages,
        tools=[pb.Tool(function=pb.FunctionTool(name="f", parameters_json=schema)), pb.Tool(other_json=tool)],
        extra_json=extra,
    ),
    st.lists(MESSAGES, max_size=3),
    JSON_TEXT,
    JSON_TEXT,
    JSON_TEXT,
)


def _no_constant(word: str) -> None:
    raise AssertionError(f"{word} is not JSON")


def _outcome(request: pb.ChatRequest, stream: bool) -> HttpCall | GatewayError:
    try:
        return FORMAT.provider[Task.CHAT].encode(request, TARGET, stream, CONTEXT)
    except GatewayError as error:
        return error


@given(request=REQUESTS, stream=st.booleans())
def test_any_json_text_in_a_request_gives_one_json_object_or_an_error_of_the_caller(
    request: pb.ChatRequest, stream: bool
) -> None:
    outcome = _outcome(request, stream)
    if isinstance(outcome, GatewayError):
        assert outcome.kind in (Kind.INVALID_REQUEST, Kind.UNSUPPORTED_PARAMETER)
        assert outcome.param
    else:
        body = json.loads(outcome.body, parse_constant=_no_constant)
        assert body["model"] == "claude-sonnet-4-5"
        assert body["messages"]


def test_the_requests_above_reach_both_outcomes() -> None:
    any_will_do = settings(phases=[Phase.generate])  # the smallest one would take seconds to find
    find(REQUESTS, lambda request: isinstance(_outcome(request, False), HttpCall), settings=any_will_do)
    find(REQUESTS, lambda request: isinstance(_outcome(request, False), GatewayError), settings=any_will_do)
