"""The table of formats the laws run over, and what the laws share. A new format is one row."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from adapters import FORMATS, Context, Format, Provider, ProviderSide, Target, Task
from adapters.providers import PROVIDERS
from tests.oracles import anthropic as anthropic_oracle
from tests.oracles import cohere as cohere_oracle
from tests.oracles import huggingface as huggingface_oracle
from tests.oracles import mlflow as mlflow_oracle
from tests.oracles import mosaicml as mosaicml_oracle
from tests.oracles import openai as openai_oracle
from tests.oracles import responses as responses_oracle
from tests.shared import shared_path

OWN = Path(__file__).parents[1] / "recordings"
CONTEXT = Context(1_700_000_000, lambda prefix: prefix + "1")
_OPENAI_TASKS = {
    "chat": Task.CHAT,
    "openai-compat-chat": Task.CHAT,
    "completions": Task.COMPLETIONS,
    "embeddings": Task.EMBEDDINGS,
}
# Providers whose row speaks OpenAI's format, named like the folder of their recordings.
_ROWS_LIKE_OPENAI = (
    "cerebras",
    "databricks",
    "deepseek",
    "gemini",
    "groq",
    "mistral",
    "ollama",
    "openrouter",
    "perplexity",
) + (
    "together",
    "vllm",
    "xai",
)
# Recordings that no law runs over, and why. At most ten.
EXCLUDED = {
    "messages__sync__http400__dd-trace-py-e1e2e8ed": "its messages are a string, which no canonical request can say",
    "embeddings__sync__http400+batch_input__ai-gateway-b1e5953e": "asks for encoding_format invalid_format: refused by us",
    "messages__stream__error_event": "breaks off with an error, which its oracle has no answer for",
    "embeddings__sync__embedding_base64__ruby-llm-dd24f42a": "Perplexity's base64_int8 is not OpenAI's base64",
    "embeddings__sync__batch_input+embedding_base64__ruby-llm-67a20d28": "Perplexity's base64_int8 again",
}


@dataclass(frozen=True)
class Row:
    """A format as a provider speaks it: its oracle, where its recordings lie, and which task an endpoint is."""

    provider: Provider
    oracle: ModuleType
    folders: tuple[str, ...]
    tasks: dict[str, Task] = field(default_factory=lambda: _OPENAI_TASKS)
    requests: bool = False  # whether the oracle can build our request from every recorded one
    shared: bool = True  # whether the large set has recordings of it; others have fixtures of our own only


def _like_openai(stream_end: str) -> Provider:
    return Provider("openai-compatible", "openai", None, stream_end=stream_end)


ROWS = (
    Row(PROVIDERS["openai"], openai_oracle, ("openai",), requests=True),
    Row(PROVIDERS["anthropic"], anthropic_oracle, ("anthropic",), {"messages": Task.CHAT}, requests=True),
    Row(
        PROVIDERS["cohere"],
        cohere_oracle,
        ("cohere",),
        {"chat-v2": Task.CHAT, "embed-v2": Task.EMBEDDINGS},
        requests=True,
    ),
    Row(
        PROVIDERS["cohere-v1"],
        cohere_oracle,
        ("cohere",),
        {"chat-v1": Task.CHAT, "generate": Task.COMPLETIONS, "embed-v1": Task.EMBEDDINGS},
        requests=True,
    ),
    Row(
        PROVIDERS["huggingface-text-generation-inference"],
        huggingface_oracle,
        ("huggingface",),
        {"tgi-generate": Task.COMPLETIONS, "inference-models": Task.COMPLETIONS},
    ),
    Row(
        PROVIDERS["text-embeddings-inference"],
        huggingface_oracle,
        ("huggingface",),
        {"tei-embed": Task.EMBEDDINGS},
        shared=False,
    ),
    Row(PROVIDERS["mlflow-model-serving"], mlflow_oracle, ("mlflow",), requests=True, shared=False),
    Row(PROVIDERS["mosaicml"], mosaicml_oracle, ("mosaicml",), requests=True, shared=False),
    Row(
        replace(PROVIDERS["openai"], format="responses"),
        responses_oracle,
        ("responses",),
        {"responses": Task.CHAT},
        shared=False,
    ),
    Row(PROVIDERS["azure"], openai_oracle, ("azure",), requests=True),
    Row(PROVIDERS["llama.cpp"], openai_oracle, ("llamacpp",)),
    Row(PROVIDERS["huggingface-router"], openai_oracle, ("huggingface",)),
    *(Row(PROVIDERS[name], openai_oracle, (name,)) for name in _ROWS_LIKE_OPENAI),
    # Servers without a row, by the plain one that anybody would write in a config.
    Row(_like_openai("done"), openai_oracle, ("litellm-proxy",), requests=True),
    Row(
        _like_openai("done"),
        openai_oracle,
        ("avian", "cloudflare", "crusoe", "snowflake", "vercel-gateway", "voyage", "zai"),
    ),
    Row(_like_openai("finish"), openai_oracle, ("gpustack",)),
)


@dataclass(frozen=True)
class Case:
    row: Row
    path: Path

    @property
    def recording(self) -> dict[str, Any]:
        return _read(self.path)

    @property
    def request(self) -> dict[str, Any]:
        body: dict[str, Any] = self.recording["request"]["body"]
        return body

    @property
    def task(self) -> Task:
        return self.row.tasks[self.recording["endpoint"]]

    @property
    def format(self) -> Format:
        return FORMATS[self.row.provider.format]

    @property
    def side(self) -> ProviderSide:
        return self.format.provider[self.task]

    @property
    def target(self) -> Target:
        """The provider and the recorded model."""
        return Target(
            self.row.provider, self.request.get("model") or self.recording.get("model") or "", "http://127.0.0.1/v1"
        )

    @property
    def status(self) -> int:
        return int(self.recording["response"]["status"])

    @property
    def streamed(self) -> bool:
        return "sse" in self.recording["response"] and self.status == 200

    @property
    def failed(self) -> bool:
        """An error inside a 200."""
        found = getattr(self.row.oracle, "failed", None)
        return self.status == 200 and found is not None and bool(found(self.recording))

    @property
    def body(self) -> bytes:
        response = self.recording["response"]
        found = response.get("body", response.get("sse"))
        if isinstance(found, dict) and "_raw_text" in found:  # how a body that is no JSON was kept
            found = found["_raw_text"]
        return found.encode() if isinstance(found, str) else json.dumps(found, ensure_ascii=False).encode()

    @property
    def sse(self) -> bytes:
        return str(self.recording["response"]["sse"]).encode()


@cache
def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@cache
def cases() -> list[Case]:
    """Our own fixtures, and the large set where it is."""
    roots = [OWN] + ([path / "recordings"] if (path := shared_path()) else [])
    found = [
        Case(row, path)
        for row in ROWS
        for root in roots
        for folder in row.folders
        for path in sorted((root / folder).glob("*.json"))
        if path.stem not in EXCLUDED
    ]
    return [case for case in found if case.recording["endpoint"] in case.row.tasks]


def events_of(sse: bytes) -> list[bytes]:
    """The events' bytes, each with what ends it: a blank line, or in lines of JSON its own end. By a rule of our own, not the
    parser under test."""
    return re.findall(rb"[^\n]+\n+" if sse.startswith(b"{") else rb"(?s).+?(?:\r?\n){2,}", sse)


# What counts as equal in a request, and why; `normal` does it. Python's own 1 == 1.0 is the fifth.
#   null, [] and {} = absent     no provider tells them apart in a request
#   one text part = its text     both formats document the short form
#   ["a"] = "a"                  for stop, prompt and input, as documented
#   stream false = absent        the default
#   a role in any case           Cohere's version 1 writes and takes both
def normal(value: Any, key: str = "") -> Any:
    if isinstance(value, bool):
        return ("bool", value)  # Python's True equals 1
    if isinstance(value, dict):
        kept = {name: normal(one, name) for name, one in value.items() if one not in (None, [], {})}
        if kept.get("stream") == ("bool", False):
            del kept["stream"]
        return kept
    if not isinstance(value, list):
        return value.lower() if key == "role" else value
    only = value[0] if len(value) == 1 else None
    if key in ("content", "system") and isinstance(only, dict) and only.keys() == {"type", "text"}:
        return only["text"]
    if key in ("stop", "prompt", "input") and isinstance(only, str | list):
        return normal(only)
    return [normal(one) for one in value]
