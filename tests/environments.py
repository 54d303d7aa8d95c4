"""Virtual environments with other people's released packages, built once and kept in .cache/environments for the next run.

    environment("gateway-2.8.1", folder / "gateway-2.8.1.txt").bin / "mlflow"
    node_modules("clients", folder)                    # folder has package.json, package-lock.json, .npmrc

Each is installed from a lock: versions and hashes, no addresses.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_READY = "ready"
# A cold cache and a slow network; 10 s is usual.
_INSTALL_S = 600.0
# What every environment is resolved for: the oldest Python we run on.
_PYTHON = "3.11"
_BIN = Path(sys.executable).parent
_NODE_FILES = ("package.json", "package-lock.json", ".npmrc")


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment that is ready. `python` runs in it; nothing of this checkout is importable there."""

    folder: Path

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def python(self) -> Path:
        return self.bin / "python"

    def env(self, **more: str) -> dict[str, str]:
        """The variables of a child process: this PATH, none of ours, and no telemetry (tests contact no external
        server)."""
        path = f"{self.bin}{os.pathsep}{os.environ.get('PATH', '')}"
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PYTHONPATH": ""}
        return {"PATH": path, "HOME": str(self.folder), "LANG": "C.UTF-8", **quiet, **more}


def environment(name: str, lock: Path) -> Environment:
    """The environment of that lock, built unless a run before this one has. Skips (a failure in CI) where no package index
    can be reached and it is not there yet."""
    folder = _cache() / f"{name}-{_digest(lock.read_bytes() + sys.version.encode())}"

    def build() -> None:
        uv("venv", "--python", sys.executable, str(folder))
        python = str(folder / "bin" / "python")
        # The lock is complete.
        uv("pip", "install", "--python", python, "--no-deps", "--require-hashes", "-r", str(lock))

    _once(name, folder, build)
    return Environment(folder)


def node_modules(name: str, sources: Path) -> Path:
    """Returns a folder with the `node_modules` that package.json and the lock in `sources` describe."""
    texts = b"".join((sources / file).read_bytes() for file in _NODE_FILES)
    folder = _cache() / f"{name}-{_digest(texts)}"

    def build() -> None:
        folder.mkdir(parents=True)
        for file in _NODE_FILES:
            shutil.copy(sources / file, folder)
        npm("ci", folder=folder)

    _once(name, folder, build)
    return folder / "node_modules"


def with_wheel(built: Environment, wheel: Path, folder: Path) -> Environment:
    """A copy of that environment below `folder`, with a wheel of this checkout in it."""
    copy = folder / built.folder.name
    shutil.copytree(built.folder, copy, symlinks=True)
    uv("pip", "install", "--python", str(copy / "bin" / "python"), "--no-deps", str(wheel))
    return Environment(copy)


def resolve(lock: Path, wanted: Sequence[str], alone: Sequence[str] = ()) -> None:
    """Writes the lock of `wanted` and what it needs, and of the packages `alone` without what they need."""
    options = ["--universal", "--python-version", _PYTHON, "--generate-hashes"]
    options += ["--no-emit-index-url", "--no-header", "--no-annotate"]
    command = [sys.executable, "-m", "uv", "pip", "compile", "--no-config", "--quiet", *options, "-"]
    found = []
    for packages, more in ((wanted, []), (alone, ["--no-deps"])):
        done = subprocess.run([*command, *more], check=True, input="\n".join(packages), capture_output=True, text=True)
        found.append(done.stdout)
    lock.write_text("".join(found))


def uv(*arguments: str) -> None:
    """Runs it. Skips where it fails."""
    _run([sys.executable, "-m", "uv", "--no-config", "--quiet", *arguments], None)


def npm(*arguments: str, folder: Path) -> None:
    """Runs it in `folder`. Skips where it fails."""
    _run([str(_BIN / "npm"), *arguments, "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"], folder)


def _run(command: Sequence[str], folder: Path | None) -> None:
    path = f"{_BIN}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path},
        check=False,
        capture_output=True,
        text=True,
        timeout=_INSTALL_S,
    )
    if done.returncode != 0:
        pytest.skip(f"needs packages from a package registry: {' '.join(done.stderr.split())[-500:]}")


def _cache() -> Path:
    return Path(os.environ.get("SIDECAR_TEST_ENVIRONMENTS") or _ROOT / ".cache" / "environments")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def _once(name: str, folder: Path, build: Callable[[], None]) -> None:
    """Builds what is not ready yet; two runs may want the same."""
    if (folder / _READY).exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.parent / f"{name}.lock"):
        if (folder / _READY).exists():
            return
        shutil.rmtree(folder, ignore_errors=True)  # one that was left half made
        build()
        (folder / _READY).touch()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
