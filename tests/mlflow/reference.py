"""A released MLflow gateway as a child process, and a provider on loopback that speaks the formats the gateways ask in."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.mlflow.environments import environment
from tests.processes import RunningProcess, free_port, wait_until
from tests.provider import Call, Reply, json_reply

# Two interpreters that import FastAPI, boto3 and MLflow on a busy machine; 3 s where it is idle.
START_S = 120.0


class Reference:
    """with Reference("2.8.1", folder, yaml) as gateway: httpx.get(f"{gateway.url}/health")"""

    def __init__(self, version: str, folder: Path, config: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        home = environment(f"gateway-{version}")
        path = folder / f"reference-{version}.yaml"
        path.write_text(config)
        command = [str(home.bin / "mlflow"), "gateway", "start", "--config-path", str(path), "--port", str(port)]
        self.process = RunningProcess([*command, "--workers", "1"], env=home.env(), cwd=home.folder)

    def __enter__(self) -> Self:
        try:
            wait_until(self._serves, START_S, "the reference's first answer")
        except BaseException:
            self.process.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()

    def _serves(self) -> bool:
        assert self.process.exit_code is None, self.process.output
        try:
            return httpx.get(f"{self.url}/health", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False


def _openai(choices: list[dict[str, Any]]) -> Reply:
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    head = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m-1"}
    return json_reply({**head, "choices": choices, "usage": usage})


def _choice(content: str | None, finish: str, **message: Any) -> dict[str, Any]:
    return {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}


_CALL = {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
# What the word after "play:" in the last text of a request makes the provider answer.
PLAYED: dict[str, Reply] = {
    "400": json_reply(
        {"error": {"message": "theirs", "type": "invalid_request_error", "param": None, "code": None}}, 400
    ),
    "401": json_reply({"error": {"message": "Incorrect API key", "type": "t", "param": None, "code": "c"}}, 401),
    "404": json_reply(
        {"error": {"message": "No such model", "type": "t", "param": None, "code": "model_not_found"}}, 404
    ),
    "429": json_reply(
        {"error": {"message": "Slow down", "type": "t", "param": None, "code": "rate_limit_exceeded"}}, 429
    ),
    "500": json_reply({"error": {"message": "Oh", "type": "server_error", "param": None, "code": None}}, 500),
    "other-json": json_reply({"reason": "odd"}, 400),
    "html": Reply(200, (("content-type", "text/html"),), (b"<html></html>",)),
    "text-400": Reply(400, (("content-type", "text/plain"),), (b"plain words",)),
    "not-of-the-format": json_reply({"hello": 1}),
    "null-content": _openai([_choice(None, "stop")]),
    "content-filter": _openai([_choice("a", "content_filter")]),
    "tool-calls": _openai([_choice(None, "tool_calls", tool_calls=[_CALL])]),
    "bad-predictions": json_reply({"predictions": [{"a": 1}]}),
    "two-predictions": json_reply({"predictions": {"candidates": ["one", "two"]}}),
}


def script(call: Call) -> Reply | None:
    """The formats the simulator has no default for; None for OpenAI's."""
    for word, reply in PLAYED.items():
        if f"play:{word}".encode() in call.body:
            return reply
    if call.path.endswith("/predict"):
        return json_reply({"outputs": [[0.1, 0.2]] if "instructor" in call.path else ["mosaic says"]})
    if call.path == "/invocations":
        return json_reply({"predictions": [[0.5, 0.25]] if b'"vector"' in call.body else ["served says"]})
    if call.path == "/generate":
        details = {"finish_reason": "length", "generated_tokens": 4, "seed": 42, "prefill": [{}, {}], "tokens": []}
        return json_reply({"generated_text": "tgi says", "details": details})
    return None
