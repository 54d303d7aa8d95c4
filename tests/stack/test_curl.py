"""curl, the command that every how-to page uses."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.stack.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.needs("curl")]
TIMEOUT_S = 60


def curl(stack: Stack, path: str, *arguments: str, body: object = None) -> tuple[str, str, str]:
    """Status, protocol version, body."""
    data = () if body is None else ("-H", "Content-Type: application/json", "-d", json.dumps(body))
    done = subprocess.run(
        ["curl", "-sS", "--no-buffer", "--cacert", str(stack.ca), "-w", "\n%{http_code} %{http_version}", *arguments]
        + [*data, stack.url + path],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text, _, last = done.stdout.rpartition("\n")
    status, version = last.split()
    return status, version, text


def chat(text: str, **members: object) -> dict[str, object]:
    return {"model": "chat", "messages": [{"role": "user", "content": text}], **members}


@pytest.mark.parametrize(("flag", "version"), [("--http1.1", "1.1"), ("--http2", "2")])
def test_a_chat_by_both_versions_of_http(stack: Stack, flag: str, version: str) -> None:
    key = f"Authorization: Bearer {stack.api_key}"
    status, spoken, text = curl(stack, "/v1/chat/completions", flag, "-H", key, body=chat("Hi"))
    assert (status, spoken) == ("200", version)
    assert json.loads(text)["choices"][0]["message"]["content"] == "echo: Hi"


@pytest.mark.parametrize("flag", ["--http1.1", "--http2"])
def test_a_stream_is_events_that_end_in_done(stack: Stack, flag: str) -> None:
    user = f"{stack.user}:{stack.password}"
    status, _, text = curl(stack, "/v1/chat/completions", flag, "-u", user, "-i", body=chat("Hi you", stream=True))
    head, _, events = text.partition("\n\n") if "\r\n\r\n" not in text else text.partition("\r\n\r\n")
    assert status == "200"
    assert "content-type: text/event-stream" in head.lower()
    lines = [line for line in events.splitlines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    deltas = [json.loads(line.removeprefix("data: "))["choices"][0]["delta"] for line in lines[:-1]]
    assert "".join(delta.get("content") or "" for delta in deltas) == "echo: Hi you"


def test_a_wrong_password_is_401_and_says_how_to_come_in(stack: Stack) -> None:
    for credential in (("-u", f"{stack.user}:wrong"), ("-H", "Authorization: Bearer wrong"), ()):
        status, _, text = curl(stack, "/v1/models", *credential, "-i")
        assert status == "401"
        assert "www-authenticate: basic" in text.lower()
        assert json.loads(text.splitlines()[-1])["error"]["code"] == "invalid_api_key"


def test_health_needs_no_credentials_and_says_only_ok(stack: Stack) -> None:
    status, _, text = curl(stack, "/health")
    assert (status, json.loads(text)) == ("200", {"status": "OK"})
