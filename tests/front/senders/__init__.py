"""Clients that send a body at once, as their libraries do it, and what they receive of a refusal. Each is a program of its own.

await SENDERS["go, HTTP/2"](cases)      # [401, 404, "an error's text"]
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.environments import environment, node_modules
from tests.processes import REPOSITORY

_FOLDER = Path(__file__).parent
_NODE = Path(sys.executable).with_name("node")
_BUILD_S = 200


@dataclass(frozen=True, slots=True)
class Case:
    """One POST of so many bytes. `ca`: the file with the front's own authority."""

    url: str
    ca: str
    authorization: str
    type: str
    bytes: int


Sender = Callable[[Sequence[Case]], Awaitable[list[int | str]]]


async def output(*command: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """What a program writes; its complaints go where the test's own go."""
    process = await asyncio.create_subprocess_exec(*command, env=env, cwd=cwd, stdout=asyncio.subprocess.PIPE)
    return (await process.communicate())[0].decode().strip()


def _as_json(cases: Sequence[Case], **more: object) -> str:
    return json.dumps([{**asdict(case), **more} for case in cases])


async def _debians_curl(version: str, cases: Sequence[Case]) -> list[int | str]:
    """The curl on the PATH: 7.88 in Debian 12."""
    received: list[int | str] = []
    for case in cases:
        with tempfile.NamedTemporaryFile() as body:
            body.write(b"x" * case.bytes)
            body.flush()
            written = await output(
                *("curl", "-sS", "--stderr", "-", f"--http{version}", "--cacert", case.ca, "-o", "/dev/null"),
                *(
                    "-w",
                    "%{http_code}",
                    "-H",
                    f"Authorization: {case.authorization}",
                    "-H",
                    f"Content-Type: {case.type}",
                ),
                *("--data-binary", f"@{body.name}", case.url),
            )
        received.append(int(written) if written.isdigit() else written)
    return received


async def _newest_curl(version: int, cases: Sequence[Case]) -> list[int | str]:
    python = environment("front-curl", _FOLDER / "curl.txt").python
    return list(json.loads(await output(python, _FOLDER / "newest_curl.py", _as_json(cases, version=version))))


async def _node(name: str, cases: Sequence[Case]) -> list[int | str]:
    env = {**os.environ, "NODE_EXTRA_CA_CERTS": cases[0].ca}
    return list(json.loads(await output(_NODE, _FOLDER / "node.mjs", name, _as_json(cases), env=env)))


async def _go(version: str, cases: Sequence[Case]) -> list[int | str]:
    return list(json.loads(await output(_built_go(), version, _as_json(cases))))


@functools.cache
def _built_go() -> Path:
    folder = REPOSITORY / ".cache" / "go"
    env = {**os.environ, "GO111MODULE": "off", "GOPATH": str(folder), "GOCACHE": str(folder / "cache")}
    command = ["go", "build", "-o", str(folder / "sender"), str(_FOLDER / "go" / "main.go")]
    subprocess.run(command, env=env, check=True, timeout=_BUILD_S)
    return folder / "sender"


async def grpc_js(cases: Sequence[Case]) -> list[int]:
    """The gRPC statuses. A case's URL is that of a method."""
    folder = node_modules("front-grpc-js", REPOSITORY / "tests" / "node").parent
    shutil.copy(_FOLDER / "grpc.mjs", folder)
    requests = [
        {**asdict(case), "target": case.url.split("/")[2], "path": f"/{case.url.split('/', 3)[3]}"} for case in cases
    ]
    return list(json.loads(await output(_NODE, folder / "grpc.mjs", json.dumps(requests))))


def _bound(send: Callable[..., Awaitable[list[int | str]]], how: str | int) -> Sender:
    return functools.partial(send, how)


SENDERS: dict[str, Sender] = {
    "Debian's curl, HTTP/1.1": _bound(_debians_curl, "1.1"),
    "Debian's curl, HTTP/2": _bound(_debians_curl, "2"),
    "newest curl, HTTP/1.1": _bound(_newest_curl, 1),
    "newest curl, HTTP/2": _bound(_newest_curl, 2),
    "Node's fetch": _bound(_node, "fetch"),
    "Node's https": _bound(_node, "https"),
    "Node's http2": _bound(_node, "http2"),
    "Go, HTTP/1.1": _bound(_go, "1"),
    "Go, HTTP/2": _bound(_go, "2"),
}
