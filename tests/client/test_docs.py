"""docs/reference/client.md, run: each code block as its own script, in order, with the environment that `. .sidecar/env` sets."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.client.conftest import config
from tests.processes import REPOSITORY
from tests.provider import Call, Provider, json_reply
from tests.stack.stack import Stack

pytestmark = pytest.mark.slow
PAGE = (REPOSITORY / "docs" / "reference" / "client.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
MADE, BOTH, NOTEBOOK = BLOCKS[-3:]
RUN_S = 60
# The samples name no address of a provider. Nor does this test change them, but for these two: ours is on loopback.
ADDRESSES = {
    '"openai_api_key": os.environ["OPENAI_API_KEY"]': "openai_api_base",
    '"cohere_api_key": os.environ["COHERE_API_KEY"]': "cohere_api_base",
}
TEXT = "MLflow is an open source platform."


def openai_says(call: Call) -> Any:
    message = {"role": "assistant", "content": TEXT}
    usage = {"prompt_tokens": 13, "completion_tokens": 7, "total_tokens": 20}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return json_reply(
        {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4", "choices": choices, "usage": usage}
    )


def cohere_says(call: Call) -> Any:
    message = {"role": "assistant", "content": [{"type": "text", "text": "A platform."}]}
    usage = {"tokens": {"input_tokens": 5, "output_tokens": 3}}
    return json_reply({"id": "c", "finish_reason": "COMPLETE", "message": message, "usage": usage})


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[Stack]:
    """A stack of this file's own: its routes stay made from block to block."""
    with Stack(tmp_path_factory.mktemp("documented"), config(provider)) as running:
        yield running


def run(stack: Stack, provider: Provider, block: str, result: str, folder: Path) -> Any:
    """The value of the variable `result` after the block."""
    for key, base in ADDRESSES.items():
        block = block.replace(key, f'{key}, "{base}": {provider.root_url + ("/v1" if "openai" in base else "")!r}')
    keys = {"OPENAI_API_KEY": "sk-openai", "COHERE_API_KEY": "sk-cohere", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", f"{block}\nimport json\nprint()\nprint(json.dumps({result}))"],
        env={**os.environ, **stack.env, **keys},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("index", "result", "value"),
    [
        (
            0,
            "[answer.text, len(vectors), names[:4]]",
            ["echo: Say hello.", 2, ["chat", "completions", "embeddings", "claude"]],
        ),
        (1, "text", "echo: Count to five."),
        (2, "said", "route_not_found 404 NOT_FOUND model"),
    ],
)
def test_a_block_of_the_page_does_what_it_says(
    documented: Stack, provider: Provider, tmp_path: Path, index: int, result: str, value: Any
) -> None:
    provider.script = None
    assert run(documented, provider, BLOCKS[index], result, tmp_path) == value


def test_mlflows_samples_are_answered_as_the_page_says(documented: Stack, provider: Provider, tmp_path: Path) -> None:
    provider.script = lambda call: cohere_says(call) if call.key == "sk-cohere" else openai_says(call)
    answer = run(documented, provider, MADE, "response", tmp_path)
    printed = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert printed is not None
    assert answer == json.loads(printed[1])
    assert set(answer) == {"candidates", "metadata"}
    [candidate] = answer["candidates"]
    assert candidate == {"text": TEXT, "metadata": {"finish_reason": "stop"}}
    assert answer["metadata"] == {
        "input_tokens": 13,
        "output_tokens": 7,
        "total_tokens": 20,
        "model": "gpt-4",
        "route_type": "llm/v1/completions",
    }
    assert (provider.calls[-1].key, provider.calls[-1].json["model"]) == ("sk-openai", "gpt-4")

    by_openai, by_cohere = run(documented, provider, BOTH, "response", tmp_path)
    assert by_openai == answer
    assert by_cohere["candidates"][0]["text"] == "A platform."
    assert by_cohere["metadata"]["route_type"] == "llm/v1/completions"
    assert by_cohere["metadata"]["total_tokens"] == 8
    openai_call, cohere_call = provider.calls[-2:]
    assert (openai_call.json["temperature"], openai_call.json["max_tokens"]) == (0.6, 100)
    assert (cohere_call.json["model"], cohere_call.json["max_tokens"]) == ("command", 100)


def test_the_notebooks_chat_is_answered(documented: Stack, provider: Provider, tmp_path: Path) -> None:
    provider.script = None
    answer = run(documented, provider, NOTEBOOK, "response", tmp_path)
    [candidate] = answer["candidates"]
    assert candidate["message"] == {"role": "assistant", "content": "echo: What is the best day of the week?"}
    assert candidate["metadata"] == {"finish_reason": "stop"}
    assert set(answer["metadata"]) == {"input_tokens", "output_tokens", "total_tokens", "model", "route_type"}
