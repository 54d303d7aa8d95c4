"""Opens bodies of the three dialects and validates their members as MLflow's servers do. The route's name is in the
path; the caller of `open` fills it in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from adapters.contract import Envelope, Task
from adapters.errors import GatewayError, Kind
from adapters.mlflow_client import request_rules
from adapters.mlflow_client.request_rules import Rule, require
from adapters.mlflow_client.violations import no_object
from adapters.openai import open_members, read_streaming

Open = Callable[[bytes], Envelope]

_A_PARAMETERS = (
    Rule("temperature", request_rules.number, nullable=False, least=0, most=1),
    Rule("candidate_count", request_rules.integer, nullable=False, least=1, most=5),
    Rule("stop", request_rules.texts),
    Rule("max_tokens", request_rules.integer, least=1),
)
A_RULES: Mapping[Task, tuple[Rule, ...]] = {
    Task.CHAT: (*_A_PARAMETERS, Rule("messages", request_rules.text_messages, required=True, nullable=False)),
    Task.COMPLETIONS: (*_A_PARAMETERS, Rule("prompt", request_rules.text, required=True, nullable=False)),
    Task.EMBEDDINGS: (Rule("text", request_rules.text_or_texts, required=True, nullable=False),),
}
# Our names -> OpenAI's, in which the request is then read.
_A_NAMES = {"candidate_count": "n", "text": "input"}
_B_PARAMETERS = (
    Rule("n", request_rules.integer, least=1),
    Rule("stop", request_rules.some_texts),
    Rule("max_tokens", request_rules.integer, least=1),
    Rule("max_completion_tokens", request_rules.integer, least=1),
    Rule("stream", request_rules.boolean),
    Rule("temperature", request_rules.number, least=0, most=2),
    Rule("top_p", request_rules.number, least=0, most=1),
    Rule("presence_penalty", request_rules.number, least=-2, most=2),
    Rule("frequency_penalty", request_rules.number, least=-2, most=2),
)
B_RULES: Mapping[Task, tuple[Rule, ...]] = {
    Task.CHAT: (*_B_PARAMETERS, Rule("messages", request_rules.messages, required=True, nullable=False)),
    Task.COMPLETIONS: (*_B_PARAMETERS, Rule("prompt", request_rules.some_inputs, required=True, nullable=False)),
    Task.EMBEDDINGS: (Rule("input", request_rules.some_inputs, required=True, nullable=False),),
}
_NO_MODEL = (
    "The parameter 'model' is not permitted to be passed. The route being queried already defines a model instance."
)
_NO_STREAM = "Setting the 'stream' parameter to 'true' is not supported with the MLflow Gateway."


def opener_a(task: Task) -> Open:
    """Dialect A: its own names, no streams. Members are renamed to OpenAI's."""

    def open_(body: bytes) -> Envelope:
        members = members_of(body)
        require(members, A_RULES[task])
        _refuse_model(members)
        for ours, openais in _A_NAMES.items():
            if members.get(openais, b"null") != b"null":
                raise _refused(f"Invalid parameter `{openais}`. Use `{ours}` instead.", openais)
        if members.pop("stream", b"null") in (b"true", b'"true"'):
            raise _refused(_NO_STREAM, "stream")
        return Envelope({_A_NAMES.get(name, name): raw for name, raw in members.items()}, "", False, False)

    return open_


def opener_b(task: Task) -> Open:
    """Dialect B: OpenAI's body without `model`."""

    def open_(body: bytes) -> Envelope:
        members = members_of(body)
        require(members, B_RULES[task])
        _refuse_model(members)
        return _envelope(members)

    return open_


def opener_c(task: Task) -> Open:
    """Dialect C: OpenAI's body; the path overrides a `model` in it."""

    def open_(body: bytes) -> Envelope:
        members = members_of(body)
        require(members, B_RULES[task])
        members.pop("model", None)
        return _envelope(members)

    return open_


def members_of(body: bytes) -> dict[str, bytes]:
    """The top-level members with their bytes. Raises Violations for anything but one JSON object."""
    try:
        return open_members(body)
    except GatewayError as error:
        if error.param is not None:  # a duplicate key
            raise
        raise no_object(body) from None


def _envelope(members: dict[str, bytes]) -> Envelope:
    stream, include_usage = read_streaming(members)
    return Envelope(members, "", stream, include_usage)


def _refuse_model(members: dict[str, bytes]) -> None:
    if members.get("model", b"null") != b"null":
        raise _refused(_NO_MODEL, "model")
    members.pop("model", None)


def _refused(text: str, param: str) -> GatewayError:
    return GatewayError(Kind.UNSUPPORTED_PARAMETER, text, param=param)
