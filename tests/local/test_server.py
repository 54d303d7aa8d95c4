"""The embedded model's server, asked directly: OpenAI's format, three tasks at one address, and it ends with its parent."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sidecar.local import MODEL, base_url, command, ensure_model, free_port, ready
from tests.processes import REPOSITORY, is_alive, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # the first run fetches 93 MB

LOAD_DEADLINE_S = 60.0
QUESTION = [{"role": "user", "content": "Say hello."}]


@pytest.fixture(scope="module")
def model() -> Path:
    return ensure_model(show=False)


async def serving(url: str) -> None:
    async with asyncio.timeout(LOAD_DEADLINE_S):
        while not await ready(url):
            await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[str]:
    """A base URL that serves; the process wrote nothing and ends on SIGTERM with code 0."""
    port = free_port()
    process = subprocess.Popen(command(model, port), cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        asyncio.run(serving(base_url(port)))
        yield base_url(port)
    finally:
        process.terminate()
        output, _ = process.communicate(timeout=10)
    assert (process.returncode, output) == (0, b"")


@pytest.fixture
async def client(server: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server, timeout=60) as client:
        yield client


async def test_chat_answers_with_text_and_usage(client: httpx.AsyncClient) -> None:
    answer = (
        await client.post("/chat/completions", json={"model": MODEL, "messages": QUESTION, "max_tokens": 8})
    ).json()
    assert answer["object"] == "chat.completion"
    assert answer["model"] == MODEL
    assert answer["choices"][0]["message"]["content"]
    assert 1 <= answer["usage"]["completion_tokens"] <= 8


async def test_a_streamed_chat_comes_in_pieces_and_ends_with_done(client: httpx.AsyncClient) -> None:
    body = {
        "model": MODEL,
        "messages": QUESTION,
        "max_tokens": 8,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    async with client.stream("POST", "/chat/completions", json=body) as response:
        lines = [line.removeprefix("data: ") async for line in response.aiter_lines() if line]
    assert lines[-1] == "[DONE]"
    chunks: list[dict[str, Any]] = [json.loads(line) for line in lines[:-1]]
    assert sum(bool(choice["delta"].get("content")) for chunk in chunks for choice in chunk["choices"]) > 1
    assert chunks[-1]["usage"]["completion_tokens"] >= 1


async def test_a_completion_continues_a_text(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/completions", json={"model": MODEL, "prompt": "One, two,", "max_tokens": 4})).json()
    assert answer["object"] == "text_completion"
    assert answer["choices"][0]["text"]


async def test_embeddings_of_like_texts_are_nearer(client: httpx.AsyncClient) -> None:
    texts = ["A cat sleeps on the sofa.", "The cat is sleeping on a couch.", "SELECT price FROM orders WHERE id = 7;"]
    answer = (await client.post("/embeddings", json={"model": MODEL, "input": texts})).json()
    assert [entry["index"] for entry in answer["data"]] == [0, 1, 2]
    cat, like, unlike = (entry["embedding"] for entry in answer["data"])
    assert len(cat) == 576
    assert sum(a * b for a, b in zip(cat, like, strict=True)) > sum(a * b for a, b in zip(cat, unlike, strict=True))


async def test_chats_under_way_do_not_change_an_embedding(client: httpx.AsyncClient) -> None:
    async def embed() -> list[float]:
        answer = await client.post("/embeddings", json={"model": MODEL, "input": "The same text."})
        vector: list[float] = answer.json()["data"][0]["embedding"]
        return vector

    alone = await embed()
    chat = {"model": MODEL, "messages": QUESTION, "max_tokens": 16}
    async with asyncio.TaskGroup() as group:
        chats = [group.create_task(client.post("/chat/completions", json=chat)) for _ in range(4)]
        embeddings = [group.create_task(embed()) for _ in range(4)]
    assert all(task.result().status_code == 200 for task in chats)
    for task in embeddings:
        assert task.result() == pytest.approx(alone, abs=1e-5)


async def test_calls_of_another_model_and_their_results_are_in_the_prompt(
    client: httpx.AsyncClient, server: str
) -> None:
    """After a fallback the history has tools, though this model calls none."""
    function = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": function}]}
    result = {"role": "tool", "tool_call_id": "1", "content": "21 degrees"}
    root = server.removesuffix("/v1")
    plain, whole = [
        (await client.post(f"{root}/apply-template", json={"messages": messages})).json()["prompt"]
        for messages in (QUESTION, [*QUESTION, call, result])
    ]
    opening = "<|im_start|>assistant\n"
    assert plain.endswith(f"<|im_start|>user\nSay hello.<|im_end|>\n{opening}")
    added = whole.removeprefix(plain)
    assert '{"name": "get_weather", "arguments": {"city": "Paris"}}' in added
    assert "<tool_response>\n21 degrees\n</tool_response>" in added
    assert added.endswith(opening)


async def test_a_prompt_beyond_the_context_is_refused(client: httpx.AsyncClient) -> None:
    long = [{"role": "user", "content": "word " * 9000}]
    response = await client.post("/chat/completions", json={"model": MODEL, "messages": long, "max_tokens": 1})
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "exceed_context_size_error"


async def test_nothing_is_ready_where_nothing_listens_or_something_else_does() -> None:
    assert not await ready(base_url(free_port()))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not await ready(base_url(silent.getsockname()[1]))


def failure(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "sidecar.local.server", *arguments]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=False)
    assert result.stdout == ""
    return result.returncode, result.stderr


def test_what_it_cannot_serve_is_said_in_one_line(model: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"not a model")
    line = "sidecar local model: {}: {}\n"
    assert failure("--model", "/none", "--port", "0") == (1, line.format("/none", "no such model file"))
    code, text = failure("--model", str(bad), "--port", "0")
    assert (code, text.count("\n")) == (1, 1)
    assert "llama.cpp cannot serve it" in text
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert failure("--model", str(model), "--port", str(port)) == (
            1,
            line.format(f"port {port} on 127.0.0.1", "Address already in use"),
        )


STARTER = """
import subprocess, sys, time
from pathlib import Path
from sidecar.local import command
print(subprocess.Popen(command(Path(sys.argv[1]), int(sys.argv[2]))).pid, flush=True)
time.sleep(600)
"""


async def test_it_ends_when_its_parent_is_killed(model: Path) -> None:
    port = free_port()
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(model), str(port)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    with starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        try:
            await serving(base_url(port))
            starter.kill()
            wait_until(lambda: not is_alive(pid), deadline_s=5, what="the end of the model's server")
        finally:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
