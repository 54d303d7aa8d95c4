"""A real `mlflow models serve`: MLflow in a virtual environment of its own, a model saved there, a process on a free port."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.processes import RunningProcess, wait_until

MODELS = Path(__file__).parent / "models"
# The release whose answers tests/recordings/mlflow holds, and what its scoring server needs beside it.
PACKAGES = ("mlflow-skinny==3.17.2", "fastapi", "uvicorn", "pandas", "numpy", "requests")
INSTALL_S = 240.0
SAVE_S = 60.0
START_S = 60.0


class Mlflow:
    """An MLflow of the test run's own, below `folder`. 300 MB, about 20 s to install from a cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "venv" / "bin"
        _run([sys.executable, "-m", "venv", str(folder / "venv")], SAVE_S)
        install = [str(self.bin / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*install, *PACKAGES], INSTALL_S)

    def saved(self, name: str) -> Path:
        """The folder of the model that models/<name>.py says."""
        model = self.folder / name
        if not model.exists():
            save = [str(self.bin / "python"), str(MODELS / "save.py"), str(MODELS / f"{name}.py"), str(model)]
            _run(save, SAVE_S, env=self.env(), cwd=self.folder)
        return model

    def env(self) -> dict[str, str]:
        """Nothing of ours is importable there; telemetry off, because a test calls nobody."""
        path = f"{self.bin}{os.pathsep}{os.environ.get('PATH', '')}"
        return {"PATH": path, "PYTHONPATH": "", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


class Served:
    """with Served(mlflow, "echo", port) as served: served.url, served.invoke({...})"""

    def __init__(self, mlflow: Mlflow, name: str, port: int, env: Mapping[str, str] | None = None) -> None:
        self.url = f"http://127.0.0.1:{port}"
        command = [str(mlflow.bin / "mlflow"), "models", "serve", "--model-uri", str(mlflow.saved(name))]
        command += ["--host", "127.0.0.1", "--port", str(port), "--env-manager", "local"]
        self.process = RunningProcess(command, env={**mlflow.env(), **(env or {})}, cwd=mlflow.folder)

    def __enter__(self) -> Self:
        try:
            wait_until(self._answers, START_S, "the model server's first answer")
        except BaseException:
            self.process.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()

    def _answers(self) -> bool:
        assert self.process.exit_code is None, self.process.output
        try:
            return httpx.get(f"{self.url}/ping", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def invoke(self, body: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/invocations", json=body, timeout=30, trust_env=False)


def _run(command: list[str], deadline_s: float, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
    done = subprocess.run(
        command,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        timeout=deadline_s,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}{done.stderr}"
