"""The table of formats the laws run over, and what the laws share. A new format is one row."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from adapters import FORMATS, Context, Format, Target, Task
from adapters._sse import Parser
from adapters.providers import PROVIDERS
from sidecar.v1 import inference_pb2 as pb
from tests.oracles import openai as openai_oracle
from tests.shared import shared_path

OWN = Path(__file__).parents[1] / "recordings"
CONTEXT = Context(1_700_000_000, lambda prefix: prefix + "1")


@dataclass(frozen=True)
class Row:
    """A format: its oracle, where its recordings lie, and which task an endpoint is."""

    format: str
    provider: str
    folders: tuple[str, ...]
    oracle: ModuleType
    tasks: dict[str, Task] = field(default_factory=dict)


ROWS = (
    Row(
        "openai",
        "openai",
        ("openai",),
        openai_oracle,
        {"chat": Task.CHAT, "completions": Task.COMPLETIONS, "embeddings": Task.EMBEDDINGS},
    ),
)


@dataclass(frozen=True)
class Case:
    row: Row
    path: Path

    @property
    def recording(self) -> dict[str, Any]:
        return _read(self.path)

    @property
    def task(self) -> Task:
        return self.row.tasks[self.recording["endpoint"]]

    @property
    def format(self) -> Format:
        return FORMATS[self.row.format]

    @property
    def target(self) -> Target:
        return Target(PROVIDERS[self.row.provider], "model", "http://127.0.0.1/v1")

    @property
    def answered(self) -> bool:
        return bool(self.recording["response"]["status"] == 200)

    @property
    def streamed(self) -> bool:
        return "sse" in self.recording["response"]

    @property
    def body(self) -> bytes:
        return json.dumps(self.recording["response"].get("body"), ensure_ascii=False).encode()


@cache
def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def cases() -> list[Case]:
    """Our own fixtures, and the large set where it is."""
    roots = [OWN] + ([path / "recordings"] if (path := shared_path()) else [])
    files = [
        (row, path) for row in ROWS for root in roots for f in row.folders for path in sorted((root / f).glob("*.json"))
    ]
    return [case for case in (Case(*each) for each in files) if case.recording["endpoint"] in case.row.tasks]


def chunks_of(case: Case, pieces: list[bytes]) -> list[Any]:
    """Raises GatewayError as the decoder does."""
    stream = case.format.provider[case.task].stream
    assert stream is not None
    decoder, parser = stream(case.target, CONTEXT), Parser()
    out: list[Any] = []
    for piece in pieces:
        for event in parser.feed(piece):
            out += decoder.feed(event)
    for event in parser.close():
        out += decoder.feed(event)
    return out + decoder.close()


def said(answer: Any) -> dict[str, Any]:
    """A canonical answer in the oracle's words."""
    usage = {name: getattr(answer.usage, name) for name in ("input_tokens", "output_tokens", "total_tokens")
             if answer.usage.HasField(name)}  # fmt: skip
    if isinstance(answer, pb.EmbedResponse):
        return {"vectors": [list(each.values.values) or each.packed for each in answer.embeddings], "usage": usage}
    return {"choices": [_choice(choice) for choice in answer.choices], "usage": usage}


def _choice(choice: Any) -> dict[str, Any]:
    word = pb.FinishReason.Name(choice.finish_reason).removeprefix("FINISH_REASON_").lower().replace("unspecified", "")
    if isinstance(choice, pb.CompletionChoice):
        return {"text": choice.text, "tool_calls": [], "finish_reason": word}
    text = "".join(part.text for part in choice.message.content)
    calls = [(call.name, call.custom_input or call.arguments_json) for call in choice.message.tool_calls]
    return {"text": text, "tool_calls": calls, "finish_reason": word}
