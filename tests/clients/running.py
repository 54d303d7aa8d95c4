"""Runs a client's program against a gateway and says what came of each check."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.clients.environments import NODE_FOLDERS, environment, node_modules
from tests.clients.table import Client
from tests.stack.stack import Stack

PROGRAMS = Path(__file__).parent / "programs"
_NODE = Path(sys.executable).parent / "node"
# The slowest imports for 4 s, on a busy machine several times as long.
_RUN_S = 600.0

Results = Mapping[str, Mapping[str, Any]]


def run(client: Client, stack: Stack, folder: Path) -> Results:
    """{"route": {"check": result}}; the result of a failure is {"error": "..."}. `folder` is an empty one."""
    variables = {name: stack.env[name] for name in ("SIDECAR_URL", "SIDECAR_API_KEY", "SIDECAR_CA")}
    variables |= {name: _expanded(value, variables) for name, value in client.env.items()}
    done = subprocess.run(
        [*_command(client, folder), *client.routes],
        cwd=folder,
        env=_quiet_env(folder) | variables,
        capture_output=True,
        text=True,
        timeout=_RUN_S,
        check=False,
    )
    assert done.returncode == 0, f"{client.name}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    found: Results = json.loads(done.stdout.splitlines()[-1])
    return found


def _command(client: Client, folder: Path) -> list[str]:
    if client.environment not in NODE_FOLDERS:
        return [str(environment(client.environment).python), str(PROGRAMS / client.program)]
    (folder / "node_modules").symlink_to(node_modules(client.environment))
    if client.program.endswith(".py"):  # it starts a command line of that folder
        return [sys.executable, str(PROGRAMS / client.program)]
    # Modules are looked for from the program's own folder.
    for program in PROGRAMS.glob("*.mjs"):
        shutil.copy(program, folder)
    return [str(_NODE), str(folder / client.program)]


def _quiet_env(folder: Path) -> dict[str, str]:
    """Nothing of this machine's settings, and no telemetry: a test calls nobody."""
    silent = (
        "MLFLOW_DISABLE_TELEMETRY",
        "DO_NOT_TRACK",
        "LITELLM_LOCAL_MODEL_COST_MAP",
        "OPENAI_AGENTS_DISABLE_TRACING",
    )
    python = {"PYTHONWARNINGS": "ignore", "HAYSTACK_TELEMETRY_ENABLED": "False"}
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        **python,
        **dict.fromkeys(silent, "true"),
    }


def _expanded(value: str, variables: Mapping[str, str]) -> str:
    for name, known in variables.items():
        value = value.replace(f"${name}", known)
    return value
