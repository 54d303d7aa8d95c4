"""The llama-2 template, names and refusals of MosaicML's endpoints; the laws show the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import FORMATS, GatewayError, Kind, Target, Task
from adapters.providers import PROVIDERS
from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import Upstream
from sidecar.upstream.credentials import headers_for
from sidecar.v1 import inference_pb2 as pb
from tests.adapters.laws import CONTEXT

FORMAT = FORMATS["mosaicml"]
ROW = PROVIDERS["mosaicml"]
TARGET = Target(ROW, "llama2-70b-chat", "https://models.hosted-on.mosaicml.hosting")
ROLES = {"S": pb.ROLE_SYSTEM, "U": pb.ROLE_USER, "A": pb.ROLE_ASSISTANT}


def call(words: str, target: Target = TARGET, **fields: Any) -> Any:
    """`words` like "S U1 A1": each letter a role, each word a message."""
    request = pb.ChatRequest(**fields)
    for word in words.split():
        request.messages.add(role=ROLES[word[0]]).content.add(text=word)
    return FORMAT.provider[Task.CHAT].encode(request, target, False, CONTEXT)


@pytest.mark.parametrize(
    ("words", "prompt"),
    [
        ("U", "<s>[INST] U [/INST]"),
        ("S U1 A1 U2", "<s>[INST] <<SYS>> S <</SYS>> U1 [/INST] A1 </s><s>[INST] U2 [/INST]"),
        ("U1 U2", "<s>[INST] U1 U2 [/INST]"),
        ("U1 A1", "<s>[INST] U1 [/INST] A1 "),
    ],
)
def test_a_conversation_is_written_by_llama_2s_template(words: str, prompt: str) -> None:
    assert json.loads(call(words).body) == {"inputs": [prompt]}


def test_the_models_name_stands_in_the_path_and_the_limit_has_another_name() -> None:
    made = call("U", max_tokens=5, temperature=0.1)
    assert made.url == "https://models.hosted-on.mosaicml.hosting/llama2-70b-chat/v1/predict"
    assert json.loads(made.body)["parameters"] == {"temperature": 0.1, "max_new_tokens": 5}
    assert json.loads(call("U", max_completion_tokens=5).body)["parameters"] == {"max_new_tokens": 5}


@pytest.mark.parametrize(
    "fields", [{"max_tokens": 1, "max_completion_tokens": 2}, {"max_tokens": 1, "extra_json": '{"max_new_tokens": 2}'}]
)
def test_a_limit_said_twice_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        call("U", **fields)
    assert caught.value.kind is Kind.INVALID_REQUEST


def test_tools_roles_and_other_models_are_refused() -> None:
    with pytest.raises(GatewayError) as tools:
        call("U", tools=[pb.Tool(function=pb.FunctionTool(name="f"))])
    assert (tools.value.kind, tools.value.param) == (Kind.UNSUPPORTED_PARAMETER, "tools")
    request = pb.ChatRequest(messages=[pb.Message(role=pb.ROLE_TOOL, tool_call_id="1")])
    with pytest.raises(GatewayError) as role:
        FORMAT.provider[Task.CHAT].encode(request, TARGET, False, CONTEXT)
    assert (role.value.kind, role.value.param) == (Kind.UNSUPPORTED_PARAMETER, "messages[0].role")
    with pytest.raises(GatewayError, match="llama2"):
        call("U", Target(ROW, "mpt-7b-instruct", TARGET.base_url))


def test_the_key_stands_alone_in_its_header() -> None:
    upstream = Upstream("mosaicml", "llama2", TARGET.base_url, Secret("mosaic-key"))
    assert headers_for(upstream, ROW) == (("authorization", "mosaic-key"),)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Error: max output tokens is limited to 4096", Kind.INVALID_REQUEST),
        ("Error: prompt token count 5000 is too large", Kind.CONTEXT_LENGTH_EXCEEDED),
        ("Error: a GPU fell over", Kind.UPSTREAM_UNAVAILABLE),
    ],
)
def test_refusals_that_come_as_500_are_the_requests_fault(message: str, kind: Kind) -> None:
    assert FORMAT.error(500, {}, json.dumps({"message": message}).encode()).kind is kind
