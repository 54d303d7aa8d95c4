"""Captured answers of Cohere and Hugging Face whose requests were not recorded: read as their oracles read them."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from adapters import FORMATS, Target, Task
from adapters.chunks import accumulate_chat, accumulate_completion
from adapters.providers import PROVIDERS
from tests.adapters.laws import CONTEXT
from tests.adapters.meaning import meaning_of
from tests.oracles import cohere, huggingface, openai
from tests.shared import shared, shared_path

# Endpoint -> provider, task, oracle. TGI's /v1 is OpenAI's format.
_TGI = "huggingface-text-generation-inference"
KNOWN: dict[str, tuple[str, Task, ModuleType]] = {
    "chat-v2": ("cohere", Task.CHAT, cohere),
    "embed": ("cohere", Task.EMBEDDINGS, cohere),
    "embed-v2": ("cohere", Task.EMBEDDINGS, cohere),
    "tgi-chat": (_TGI, Task.CHAT, openai),
    "tgi-completions": ("huggingface-router", Task.COMPLETIONS, openai),
    "tgi-generate": (_TGI, Task.COMPLETIONS, huggingface),
}


def recordings() -> list[Path]:
    root = shared_path()
    folders = [root / "recordings" / "_response_only" / name for name in ("cohere", "huggingface")] if root else []
    return [path for folder in folders for path in sorted(folder.glob("*.json"))]


def test_the_captured_answers_are_here() -> None:
    shared()
    assert len(recordings()) >= 20


@pytest.mark.parametrize("path", recordings(), ids=lambda path: path.stem)
def test_a_captured_answer_says_what_its_oracle_says(path: Path) -> None:
    recording: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    provider, task, oracle = KNOWN[recording["endpoint"]]
    row, response = PROVIDERS[provider], recording["response"]
    side = FORMATS[row.format].provider[task]
    if "chunks" in response:  # the payloads without their framing
        response["sse"] = "".join(f"data: {chunk}\n\n" for chunk in response["chunks"]) + "data: [DONE]\n\n"
        assert side.stream is not None
        decoder, parser = side.stream(Target(row, "model", "http://127.0.0.1"), CONTEXT), side.framing()
        chunks = [chunk for event in parser.feed(response["sse"].encode()) for chunk in decoder.feed(event)]
        answer: Any = (accumulate_chat if task is Task.CHAT else accumulate_completion)(chunks + decoder.close())
    else:
        answer = side.decode(json.dumps(response["body"]).encode(), CONTEXT)
    if task is not Task.EMBEDDINGS:
        answer.choices.sort(key=lambda choice: choice.index)  # TGI answers several prompts in the order they were done
    wanted = oracle.answer(recording)
    assert meaning_of(answer, wanted) == wanted
