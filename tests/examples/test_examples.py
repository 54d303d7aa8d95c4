"""Everything in examples/ runs against a gateway, in an environment of its own where it needs one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.clients.conftest import serving
from tests.clients.environments import environment, node_modules
from tests.processes import REPOSITORY, RunningProcess, free_port, wait_until
from tests.stack.stack import Stack

EXAMPLES = REPOSITORY / "examples"
# The first run on a machine builds the environments.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
OPENAI, CLAUDE = "gpt", "claude"
RUN_S = 120.0
BROWSER_MS = 60_000


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with serving(tmp_path_factory.mktemp("examples")) as stack:
        yield stack


def variables(gateway: Stack, home: Path) -> dict[str, str]:
    names = ("SIDECAR_URL", "SIDECAR_API_KEY", "SIDECAR_CA", "SIDECAR_GRPC_LOCAL")
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore", "GO111MODULE": "off"}
    return {"PATH": os.environ["PATH"], "HOME": str(home), **quiet, **{name: gateway.env[name] for name in names}}


def printed(gateway: Stack, home: Path, *command: str | Path, **more: str) -> str:
    done = subprocess.run(
        list(map(str, command)), cwd=home, env=variables(gateway, home) | more,
        capture_output=True, text=True, timeout=RUN_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("route", [OPENAI, CLAUDE])
def test_openais_sdk(gateway: Stack, tmp_path: Path, route: str) -> None:
    text = printed(gateway, tmp_path, environment("openai-3").python, EXAMPLES / "python" / "sdk.py", route)
    whole, streamed = text.splitlines()
    assert streamed
    assert whole.startswith(f"{streamed} (")


@pytest.mark.parametrize("by", ["rest", "grpc"])
def test_our_client(gateway: Stack, tmp_path: Path, by: str) -> None:
    target = [gateway.env["SIDECAR_GRPC_LOCAL"]] if by == "grpc" else []
    text = printed(gateway, tmp_path, sys.executable, EXAMPLES / "python" / "client.py", OPENAI, *target)
    assert text.strip()
    assert "Too many" not in text


def test_generated_stubs(gateway: Stack, tmp_path: Path) -> None:
    program = EXAMPLES / "python" / "grpc_call.py"
    assert printed(gateway, tmp_path, sys.executable, program, OPENAI, PYTHONPATH=str(REPOSITORY)).strip()


def test_typescript(gateway: Stack, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(node_modules("node"))
    shutil.copy(EXAMPLES / "typescript" / "chat.ts", tmp_path)
    node = Path(sys.executable).parent / "node"
    more = {"NODE_EXTRA_CA_CERTS": gateway.env["SIDECAR_CA"], "NODE_NO_WARNINGS": "1"}
    assert printed(gateway, tmp_path, node, "chat.ts", OPENAI, **more).strip()


@pytest.mark.needs("go")
def test_go(gateway: Stack, tmp_path: Path) -> None:
    assert printed(gateway, tmp_path, "go", "run", EXAMPLES / "go" / "main.go", OPENAI).strip()


@pytest.mark.parametrize("route", [OPENAI, CLAUDE])
def test_langchains_agent_calls_its_tool(gateway: Stack, tmp_path: Path, route: str) -> None:
    program = EXAMPLES / "langchain" / "agent.py"
    text = printed(gateway, tmp_path, environment("openai-3").python, program, route)
    assert text.startswith("get_weather(")
    assert "18 degrees and sunny" in text


def test_mlflows_model(gateway: Stack, tmp_path: Path) -> None:
    text = printed(gateway, tmp_path, environment("openai-3").python, EXAMPLES / "mlflow" / "model.py", OPENAI)
    assert text.strip()


@pytest.mark.needs("chromium")
def test_the_web_application_streams_to_a_browser(gateway: Stack, tmp_path: Path) -> None:
    port = free_port()
    command = ["env", "-i", *(f"{key}={value}" for key, value in variables(gateway, tmp_path).items())]
    command += [str(environment("openai-3").python), str(EXAMPLES / "web" / "app.py"), OPENAI, str(port)]
    with RunningProcess(command) as application, sync_playwright() as programs:
        browser = programs.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()

        def serves() -> bool:
            assert application.exit_code is None, application.output
            return (
                subprocess.run(
                    ["curl", "-sf", f"http://127.0.0.1:{port}/"], capture_output=True, check=False
                ).returncode
                == 0
            )

        wait_until(serves, RUN_S, "the application")
        page.goto(f"http://127.0.0.1:{port}/")
        page.get_by_role("button", name="Send").click()
        page.wait_for_function("document.getElementById('answer').value.trim() !== ''", timeout=BROWSER_MS)
        browser.close()


def test_claude_codes_settings_have_the_variables_of_the_page(gateway: Stack) -> None:
    settings = json.loads((EXAMPLES / "claude-code" / "settings.json").read_text())
    page = (REPOSITORY / "docs" / "reference" / "agents.md").read_text()
    assert [name for name in settings["env"] if name not in page] == []


def test_the_list_has_every_example(gateway: Stack) -> None:
    listed = (EXAMPLES / "README.md").read_text()
    files = [path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*") if path.is_file()]
    assert [name for name in files if name != "README.md" and f"({name})" not in listed] == []
