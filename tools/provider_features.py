"""What each provider's row and format supports, determined by encoding a request that uses the feature.

A refusal is a "-" in the table. Whether a provider's model then does it is up to the provider. How each row was verified
comes from the table of laws (tests/adapters/laws.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from adapters import FORMATS, Context, GatewayError, Provider, ProviderSide, Target, Task, side_of
from sidecar.v1 import inference_pb2 as pb
from tests.adapters.laws import ROWS

_CONTEXT = Context(0, lambda prefix: prefix + "1")
# Names that formats depend on: MosaicML's chat only knows llama-2.
_MODEL = "llama2-70b-chat"
# What a provider requires in every call of a kind, so that a refusal only concerns the feature.
_OPTIONS = {"input_type": "search_document", "default_max_tokens": 100}
YES, NO = "yes", "-"
# Rows verified against servers that tests start on this machine; MLflow's and llama.cpp's others come from their
# fixtures.
_LOCAL_SERVER = {
    "llama.cpp": "the embedded model is served by llama.cpp",
    "local": "the embedded model",
    "mlflow-model-serving": "`mlflow models serve`",
}


def chat_request(**fields: Any) -> pb.ChatRequest:
    return pb.ChatRequest(messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="hi")])], **fields)


def _with_part(**part: Any) -> pb.ChatRequest:
    request = chat_request()
    request.messages[0].content.add(**part)
    return request


def _conversation() -> pb.ChatRequest:
    request = chat_request()
    request.messages.insert(0, pb.Message(role=pb.ROLE_SYSTEM, content=[pb.ContentPart(text="Be brief.")]))
    request.messages.add(role=pb.ROLE_ASSISTANT).content.add(text="Hello.")
    request.messages.add(role=pb.ROLE_USER).content.add(text="And now?")
    return request


_TOOL = pb.Tool(function=pb.FunctionTool(name="f", parameters_json='{"type":"object","properties":{}}'))
_SCHEMA = pb.ResponseFormat(json_schema=pb.JsonSchemaFormat(name="s", schema_json='{"type":"object"}'))
# Column -> a request that uses the feature.
CHAT_FEATURES: dict[str, pb.ChatRequest] = {
    "system, turns": _conversation(),
    "tools": chat_request(tools=[_TOOL]),
    "images": _with_part(image=pb.Image(data=b"\x89PNG", mime_type="image/png")),
    "files": _with_part(file=pb.File(data=b"%PDF-1.4", mime_type="application/pdf", filename="a.pdf")),
    "audio": _with_part(audio=pb.Audio(data=b"RIFF", format="wav")),
    "JSON schema": chat_request(response_format=_SCHEMA),
    "JSON object": chat_request(response_format=pb.ResponseFormat(json_object=pb.JsonObjectFormat())),
    "reasoning effort": chat_request(reasoning_effort="high"),
    "stop": chat_request(stop=["END"]),
    "n": chat_request(n=2),
    "seed": chat_request(seed=1),
    "logprobs": chat_request(logprobs=True),
}
EMBED_FEATURES: dict[str, pb.EmbedRequest] = {
    "several texts": pb.EmbedRequest(inputs=[pb.EmbedInput(text="a"), pb.EmbedInput(text="b")]),
    "token ids": pb.EmbedRequest(inputs=[pb.EmbedInput(tokens=pb.Tokens(ids=[1]))]),
    "dimensions": pb.EmbedRequest(inputs=[pb.EmbedInput(text="a")], dimensions=8),
}


def target_of(row: Provider, model: str = _MODEL) -> Target:
    return Target(row, model, "http://127.0.0.1", _OPTIONS)


def _takes(side: ProviderSide | None, request: Any, row: Provider, *, stream: bool = False) -> bool:
    if side is None or (stream and side.stream is None):
        return False
    try:
        side.encode(request, target_of(row), stream, _CONTEXT)
    except GatewayError:
        return False
    return True


def provider_side(row: Provider, task: Task, model: str = _MODEL) -> ProviderSide | None:
    return side_of(FORMATS[row.format], target_of(row, model), task)


def _completions(row: Provider) -> str:
    """Whether completions have their own API or use the provider's chat."""
    own = FORMATS[row.format].provider.get(Task.COMPLETIONS)
    legacy: Iterable[str] = row.options.get("completions_models", ())
    found = {_path(provider_side(row, Task.COMPLETIONS, model), own) for model in (_MODEL, *legacy)}
    if len(found) > 1:
        return "by chat; own for " + ", ".join(legacy)
    return found.pop()


def _path(side: ProviderSide | None, own: ProviderSide | None) -> str:
    if side is None:
        return NO
    return "own" if side is own else "by chat"


def _streams(row: Provider) -> str:
    tasks = [task for task in (Task.CHAT, Task.COMPLETIONS) if (side := provider_side(row, task)) and side.stream]
    return ", ".join(tasks) or NO


def _verified(row: Provider) -> str:
    sources = ["recording"] if any(law.provider is row and law.shared for law in ROWS) else []
    if row.name in _LOCAL_SERVER:
        sources.append(f"local server ({_LOCAL_SERVER[row.name]})")
    return ", ".join(sources) or "specification"


def _mark(taken: bool) -> str:
    return YES if taken else NO


def task_cells(row: Provider) -> tuple[str, ...]:
    chat, embeddings = (_mark(provider_side(row, task) is not None) for task in (Task.CHAT, Task.EMBEDDINGS))
    return row.format, chat, _completions(row), embeddings, _streams(row), _verified(row)


def feature_cells(row: Provider) -> tuple[str, ...]:
    chat, embed = provider_side(row, Task.CHAT), provider_side(row, Task.EMBEDDINGS)
    features = [_mark(_takes(chat, request, row)) for request in CHAT_FEATURES.values()]
    return (*features, *(_mark(_takes(embed, request, row)) for request in EMBED_FEATURES.values()))
