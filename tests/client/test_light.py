"""The client in other people's environments: REST needs Python and httpx, nothing of the server, and no name that others have."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mlflow.environments import with_wheel
from tests.processes import REPOSITORY
from tests.stack.stack import Stack
from tests.wheels import CLIENT, build_wheel

HEAVY = ("grpc", "google", "pydantic", "typer", "rich", "aiohttp", "uvloop", "msgspec", "orjson", "yaml")
SERVER = ("sidecar", "adapters")
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
fluent.set_gateway_uri(target, ca=ca)
queried = fluent.query("completions", {"prompt": "Once"})["candidates"][0]["text"]
print(json.dumps([said, pieces, len(vector), asyncio.run(other()), queried]))
"""
EXPECTED = ["echo: Say hello.", "echo: Say hello.", 8, "echo: Once", "echo: Once"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(CLIENT, tmp_path_factory.mktemp("dist"))


def _run(command: list[str], cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _called(python: Path, stack: Stack, cwd: Path) -> list[object]:
    target = stack.url.replace("https://", f"https://{stack.user}:{stack.password}@")
    found: list[object] = json.loads(_run([str(python), "-I", "-c", SCRIPT, target, str(stack.ca)], cwd))
    return found


def _blocking(names: tuple[str, ...]) -> str:
    return f"import sys; sys.modules.update(dict.fromkeys({names!r}));\n"


def test_importing_the_client_needs_nothing_of_the_server(tmp_path: Path) -> None:
    """And blocking works: with a gRPC target the same process is told what to install."""
    code = _blocking((*HEAVY, *SERVER)) + (
        "from llm_gateway_client import AsyncClient, Client, fluent\n"
        "Client('https://u:p@localhost:1').close()\n"
        "try: Client('127.0.0.1:1')\n"
        "except ImportError as error: print(error)"
    )
    message = "A gRPC target needs grpcio: pip install 'llm-gateway-client[grpc]'."
    assert _run(_with_path(code), tmp_path).strip() == message


def test_the_grpc_half_needs_nothing_of_the_server(tmp_path: Path) -> None:
    """Every module of it is imported, and those of the server are blocked."""
    code = _blocking(SERVER) + (
        "import llm_gateway_client as package, pkgutil, importlib\n"
        "names = [each.name for each in pkgutil.walk_packages(package.__path__, 'llm_gateway_client.')]\n"
        "for name in names: importlib.import_module(name)\n"
        "print('llm_gateway_client.sync.grpc_transport' in names)"
    )
    assert _run(_with_path(code), tmp_path).strip() == "True"


@pytest.mark.parametrize("order", ["ours first", "theirs first"])
def test_messages_of_another_release_may_be_in_the_same_process(order: str, tmp_path: Path) -> None:
    """Somebody's stubs of other proto files: the same file, package and names, other fields. One pool would refuse the second."""
    theirs = (
        "from google.protobuf import descriptor_pb2, descriptor_pool\n"
        "file = descriptor_pb2.FileDescriptorProto(name='sidecar/v1/inference.proto', package='sidecar.v1', syntax='proto3')\n"
        "file.message_type.add(name='ChatRequest').field.add(name='other', number=1, type=9, label=1)\n"
        "descriptor_pool.Default().AddSerializedFile(file.SerializeToString())\n"
    )
    ours = (
        "from llm_gateway_client.openai_requests import chat_request\n"
        "print(chat_request({'model': 'r', 'messages': [{'role': 'user', 'content': 'x'}]}).route)\n"
    )
    code = ours + theirs if order == "ours first" else theirs + ours
    assert _run(_with_path(code), tmp_path).strip() == "r"


def test_messages_of_the_gateway_may_be_in_the_same_process(tmp_path: Path) -> None:
    code = (
        "from sidecar.v1 import inference_pb2 as theirs, routes_pb2\n"
        "from llm_gateway_client.v1 import inference_pb2 as ours\n"
        "sent = ours.ChatRequest(route='r').SerializeToString()\n"
        "print(theirs.ChatRequest.FromString(sent).route, ours.ChatRequest is theirs.ChatRequest)\n"
    )
    assert _run(_with_path(code), tmp_path).strip() == "r False"


def _with_path(code: str) -> list[str]:
    paths = [str(CLIENT), str(REPOSITORY)]
    return [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{code}"]


@pytest.mark.slow
def test_an_environment_with_httpx_alone_calls_a_gateway(stack: Stack, wheel: Path, tmp_path: Path) -> None:
    folder, lock = tmp_path / "env", tmp_path / "lock.txt"
    lock.write_text("\n".join(_locked("httpx", "httpcore", "h11", "anyio", "certifi", "idna", "typing-extensions")))
    uv = [sys.executable, "-m", "uv", "--no-config", "--quiet"]
    install = [*uv, "pip", "install", "--python", str(folder / "bin" / "python"), "--no-deps"]
    _run([*uv, "venv", "--python", sys.executable, str(folder)], tmp_path)
    _run([*install, "-r", str(lock), str(wheel)], tmp_path)
    python = folder / "bin" / "python"
    assert _called(python, stack, tmp_path) == EXPECTED
    heavy = "import importlib.util as u, sys; print([n for n in sys.argv[1:] if u.find_spec(n)])"
    assert _run([str(python), "-I", "-c", heavy, *HEAVY, *SERVER], tmp_path).strip() == "[]"
    _run([*uv, "pip", "check", "--python", str(python)], tmp_path)


def _locked(*names: str) -> list[str]:
    """Their versions as the development lock has them; one that the lock lacks is not needed."""
    lines = (REPOSITORY / "requirements" / "dev.txt").read_text().splitlines()
    return [line.split()[0] for line in lines if line.split("==")[0].split("[")[0] in names and "==" in line]


@pytest.mark.slow
def test_the_client_lives_beside_other_peoples_sidecar_and_adapters(stack: Stack, wheel: Path, tmp_path: Path) -> None:
    """PyPI has packages of both names, and notebooks have them installed: they stay whole, and the client calls the gateway."""
    python = with_wheel("strangers", wheel, tmp_path).python
    versions = (
        "import importlib.metadata as m; print([m.version(n) for n in ('sidecar', 'adapters', 'llm-gateway-client')])"
    )
    assert _run([str(python), "-I", "-c", versions], tmp_path).strip() == "['0.8.1', '1.3.0', '0.1.0']"
    assert _called(python, stack, tmp_path) == EXPECTED
    whole = (
        "import importlib.metadata as m\n"
        "ours = ('sidecar', 'adapters', 'llm-gateway-client')\n"
        "missing = [str(f) for name in ours for f in m.files(name) if not f.locate().exists()]\n"
        "owners = {top: sorted(set(names)) for top, names in m.packages_distributions().items()}\n"
        "print(missing, owners['sidecar'], owners['adapters'], owners['llm_gateway_client'])"
    )
    assert (
        _run([str(python), "-I", "-c", whole], tmp_path).strip() == "[] ['sidecar'] ['adapters'] ['llm-gateway-client']"
    )
