"""Virtual environments with released packages: MLflow's gateways, the clients that come to ours, and what else lives beside our
client.

    environment("gateway-2.8.1").bin / "mlflow"       built on first use, kept in .cache/environments for the next run

Each is installed from requirements/<name>.txt beside this file: versions and hashes, no addresses. `python -m
tests.mlflow.environments` resolves those files anew from ENVIRONMENTS.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parent / "requirements"
_ROOT = Path(__file__).parents[2]
_READY = "ready"
# A cold cache and a slow network; 10 s is usual.
_INSTALL_S = 600.0
# What every environment is resolved for: the oldest Python we run on.
_PYTHON = "3.11"

ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "gateway-2.8.1": (
        "mlflow-skinny==2.8.1", "pydantic<3", "setuptools<81", "fastapi<0.110", "uvicorn", "gunicorn", "watchfiles", "aiohttp",
        "boto3",
    ),
    "gateway-3.17.2": (
        "mlflow-skinny==3.17.2", "fastapi", "uvicorn", "gunicorn", "watchfiles", "aiohttp", "boto3", "slowapi", "tiktoken",
        "numpy", "psutil",
    ),
    "client-2.5.0": ("mlflow-skinny==2.5.0", "pydantic<2", "urllib3<2", "setuptools<81", "psutil"),
    "client-2.8.1": ("mlflow-skinny==2.8.1", "pydantic<3", "setuptools<81"),
    "client-2.22.0": ("mlflow-skinny==2.22.0", "setuptools<81"),
    "client-3.17.2": ("mlflow-skinny==3.17.2",),
    # LangChain of the time when it had classes for both, each with a client they were written for.
    "langchain-2.8.1": ("mlflow-skinny==2.8.1", "pydantic<3", "setuptools<81", "langchain-community==0.0.38"),
    "langchain-2.22.0": ("mlflow-skinny==2.22.0", "setuptools<81", "langchain-community==0.0.38"),
    # What the client's REST half needs, and PyPI's packages of the names that the gateway's wheel has at its top.
    "strangers": ("httpx==0.28.1",),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Environment:
    """One that is ready. `python` runs in it; nothing of this checkout is importable there."""

    folder: Path

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def python(self) -> Path:
        return self.bin / "python"

    def env(self, **more: str) -> dict[str, str]:
        """The variables of a child process: this PATH, none of ours, no telemetry (a test calls nobody)."""
        path = f"{self.bin}{os.pathsep}{os.environ.get('PATH', '')}"
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PYTHONPATH": ""}
        return {"PATH": path, "HOME": str(self.folder), "LANG": "C.UTF-8", **quiet, **more}


def environment(name: str) -> Environment:
    """The environment of that name, built unless a run before this one has. Skips (a failure in CI) where no package index
    can be reached and it is not there yet."""
    lock = _FOLDER / f"{name}.txt"
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    cache = Path(os.environ.get("SIDECAR_TEST_ENVIRONMENTS") or _ROOT / ".cache" / "environments")
    folder = cache / f"{name}-{digest}"
    if not (folder / _READY).exists():
        cache.mkdir(parents=True, exist_ok=True)
        with _alone(cache / f"{name}.lock"):
            if not (folder / _READY).exists():
                _build(folder, lock)
    return Environment(folder)


def with_wheel(name: str, wheel: Path, folder: Path) -> Environment:
    """A copy of that environment below `folder`, with a wheel of this checkout in it."""
    copy = folder / name
    shutil.copytree(environment(name).folder, copy, symlinks=True)
    _uv("pip", "install", "--python", str(copy / "bin" / "python"), "--no-deps", str(wheel))
    return Environment(copy)


def _build(folder: Path, lock: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # one that was left half made
    _uv("venv", "--python", sys.executable, str(folder))
    python = str(folder / "bin" / "python")
    _uv(
        "pip", "install", "--python", python, "--no-deps", "--require-hashes", "-r", str(lock)
    )  # the lock names all there is
    (folder / _READY).touch()


def _uv(*arguments: str) -> None:
    command = [sys.executable, "-m", "uv", "--no-config", "--quiet", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_INSTALL_S)
    if done.returncode != 0:
        pytest.skip(f"needs packages of MLflow's releases: {' '.join(done.stderr.split())[-500:]}")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two runs may want the same environment."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# Names of ENVIRONMENTS -> packages that are installed without what they need.
_WITHOUT_NEEDS: dict[str, tuple[str, ...]] = {"strangers": ("sidecar==0.8.1", "adapters==1.3.0")}


def _resolve(name: str, wanted: tuple[str, ...]) -> None:
    options = [
        "--universal",
        "--python-version",
        _PYTHON,
        "--generate-hashes",
        "--no-emit-index-url",
        "--no-header",
        "--no-annotate",
    ]
    command = [sys.executable, "-m", "uv", "pip", "compile", "--no-config", "--quiet", *options, "-"]
    found = []
    for packages, alone in ((wanted, []), (_WITHOUT_NEEDS.get(name, ()), ["--no-deps"])):
        done = subprocess.run([*command, *alone], check=True, input="\n".join(packages), capture_output=True, text=True)
        found.append(done.stdout)
    (_FOLDER / f"{name}.txt").write_text("".join(found))


if __name__ == "__main__":
    for each, packages in ENVIRONMENTS.items():
        _resolve(each, packages)
