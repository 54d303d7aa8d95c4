"""The REST half needs Python and httpx: no grpc, no protobuf, nothing of the server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import REPOSITORY
from tests.stack.stack import Stack

HEAVY = ("grpc", "google", "pydantic", "typer", "rich", "aiohttp", "uvloop", "msgspec", "orjson", "yaml", "adapters")
# A slow network; 2 s is usual.
INSTALL_S = 300
# One call of each kind by REST; the target comes on the command line.
SCRIPT = """
import asyncio, json, sys
from llm_gateway_client import AsyncClient, Client, fluent
target, ca = sys.argv[1:]
with Client(target, ca=ca) as client:
    said = client.chat("chat", "Say hello.").text
    pieces = "".join(chunk.text for chunk in client.stream_chat("chat", "Say hello."))
    vector = client.embed("embeddings", "cats").vectors[0]
async def other():
    async with AsyncClient(target, ca=ca) as client:
        return (await client.complete("completions", "Once")).text
print(json.dumps([said, pieces, len(vector), asyncio.run(other())]))
"""
EXPECTED = ["echo: Say hello.", "echo: Say hello.", 8, "echo: Once"]


def _run(command: list[str], cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _blocking(names: tuple[str, ...]) -> str:
    return f"import sys; sys.modules.update(dict.fromkeys({names!r}));\n"


def test_importing_the_client_needs_nothing_of_the_server(tmp_path: Path) -> None:
    """And blocking works: with a gRPC target the same process fails."""
    code = _blocking(HEAVY) + (
        "from llm_gateway_client import AsyncClient, Client, fluent\n"
        "Client('https://u:p@localhost:1').close()\n"
        "try: Client('127.0.0.1:1')\n"
        "except ImportError: print('blocked')"
    )
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n{code}"]
    assert _run(command, tmp_path).strip() == "blocked"


@pytest.mark.slow
def test_an_environment_with_httpx_alone_calls_a_gateway(stack: Stack, tmp_path: Path) -> None:
    folder, lock = tmp_path / "env", tmp_path / "lock.txt"
    lock.write_text("\n".join(_locked("httpx", "httpcore", "h11", "anyio", "certifi", "idna", "typing-extensions")))
    uv = [sys.executable, "-m", "uv", "--no-config", "--quiet"]
    install = [*uv, "pip", "install", "--python", str(folder / "bin" / "python"), "--no-deps"]
    _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], REPOSITORY)
    _run([*uv, "venv", "--python", sys.executable, str(folder)], tmp_path)
    _run([*install, "-r", str(lock), *map(str, tmp_path.glob("*.whl"))], tmp_path)
    python = str(folder / "bin" / "python")
    target = stack.url.replace("https://", f"https://{stack.user}:{stack.password}@")
    assert json.loads(_run([python, "-I", "-c", SCRIPT, target, str(stack.ca)], tmp_path)) == EXPECTED
    heavy = "import importlib.util as u, sys; print([n for n in sys.argv[1:] if u.find_spec(n)])"
    assert _run([python, "-I", "-c", heavy, *(name for name in HEAVY if name != "adapters")], tmp_path).strip() == "[]"


def _locked(*names: str) -> list[str]:
    """Their versions as the development lock has them; one that the lock lacks is not needed."""
    lines = (REPOSITORY / "requirements" / "dev.txt").read_text().splitlines()
    return [line.split()[0] for line in lines if line.split("==")[0].split("[")[0] in names and "==" in line]
