"""Every recorded chat stream as an OpenAI client gets it from the gateway: bytes that pass, or chunks that are translated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from adapters import FORMATS, Task
from tests.adapters.laws import Case, cases
from tests.adapters.meaning import chunks_of
from tests.shared import shared_path

_CLIENT = FORMATS["openai"].client[Task.CHAT]
# Streams whose bytes pass (decision 0006) and that OpenAI's stream helpers cannot add up: the recording's folder, and why.
LEFT_IN_PYTHON = {
    "mistral": "content is a list where the model thinks: the SDK warns of it",
    "openrouter": "one answer's annotations in deltas have no index",
}
LEFT_IN_NODE = {
    "avian": "no finish_reason comes",
    "cloudflare": "no role comes",
    "gpustack": "no role comes",
    "groq": "one answer breaks off without a finish_reason",
    "litellm-proxy": "the second choice has no finish_reason",
    "snowflake": "no finish_reason comes with probabilities",
}


def client_streams() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The recording's folder and name, and its chunks."""
    for case in cases():
        if case.streamed and not case.failed and case.task is Task.CHAT:
            yield f"{case.path.parent.name}/{case.path.stem}", list(_chunks(case))


def not_listed(failed: dict[str, str], left: dict[str, str]) -> dict[str, str]:
    """What a helper could not add up, but for what is listed; and entries that nothing needs, where the large set is."""
    rest = {name: error for name, error in failed.items() if name.partition("/")[0] not in left}
    if shared_path() is not None:
        folders = {name.partition("/")[0] for name in failed}
        rest |= {folder: "is listed, but everything adds up" for folder in left if folder not in folders}
    return rest


def _chunks(case: Case) -> Iterator[dict[str, Any]]:
    assert _CLIENT.encode_chunk is not None
    if case.format.name == "openai":
        text = case.sse.decode()
    else:
        text = "".join(_CLIENT.encode_chunk(chunk, True).decode() for chunk in chunks_of(case, [case.sse]))
    for line in text.split("\n"):
        data = line.removeprefix("data:").strip()
        if line.startswith("data:") and data not in ("", "[DONE]"):
            yield json.loads(data)
