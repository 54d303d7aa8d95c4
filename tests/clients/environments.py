"""The environments in which other people's clients are tried: those that can live together share one.

    environment("openai-3").python                    built on first use, kept for the next run (tests/environments.py)

`python -m tests.clients.environments` resolves the locks (requirements/*.txt, package-lock.json of node/, agents/ and editors/)
anew, to the newest versions.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

from tests import environments
from tests.environments import Environment
from tests.scale import SCALE

_FOLDER = Path(__file__).parent
# `make soak` takes what was released last.
NEWEST = SCALE >= 1

ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "openai-1": ("openai<2",),
    "openai-3": (
        "openai>=3", "langchain-openai", "langchain-tests", "pydantic-ai-slim[openai]>=2", "openai-agents", "litellm",
        "autogen-ext[openai]", "autogen-agentchat", "haystack-ai", "dspy", "smolagents[openai]", "llm", "mlflow-skinny", "pandas",
    ),
    # These want an older openai or pydantic.
    "openai-2": (
        "openai<3", "pydantic-ai-slim[openai]==1.60.0", "instructor", "llama-index-llms-openai-like",
        "llama-index-embeddings-openai-like", "semantic-kernel",
    ),
    # It pins what it needs.
    "aider": ("aider-chat",),
}  # fmt: skip
# The environments of npm's packages: folders with a package.json and its lock.
NODE_FOLDERS = ("node", "agents", "editors")
# `make soak` resolves anew, once a run.
_NEWEST = Path(tempfile.gettempdir()) / f"newest-clients-{os.getpid()}"


@lru_cache
def environment(name: str) -> Environment:
    """The environment of that name, ready: of the lock, in `make soak` of the newest versions."""
    return environments.environment(
        f"clients-{name}", _newest(name) if NEWEST else _FOLDER / "requirements" / f"{name}.txt"
    )


@lru_cache
def node_modules(name: str) -> Path:
    """The packages of that folder's package.json, as the lock has them or in `make soak` the newest."""
    return environments.node_modules(f"clients-{name}", _newest_node(name) if NEWEST else _FOLDER / name)


def version(package: str, name: str) -> str:
    """Of a package in the lock of that environment."""
    if name in NODE_FOLDERS:
        packages = json.loads((_FOLDER / name / "package-lock.json").read_text())["packages"]
        return str(packages[f"node_modules/{package}"]["version"])
    lock = (_FOLDER / "requirements" / f"{name}.txt").read_text()
    found: list[str] = re.findall(rf"^{re.escape(package)}==(\S+)", lock, re.MULTILINE)
    return found[0]


def _newest(name: str) -> Path:
    _NEWEST.mkdir(exist_ok=True)
    lock = _NEWEST / f"{name}.txt"
    environments.resolve(lock, ENVIRONMENTS[name])
    return lock


def _newest_node(name: str) -> Path:
    folder = _NEWEST / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("package.json", ".npmrc"):
        shutil.copy(_FOLDER / name / file, folder)
    _resolve_node(folder)
    return folder


def _resolve_node(folder: Path) -> None:
    """A lock of the newest versions of what package.json names."""
    (folder / "package-lock.json").unlink(missing_ok=True)
    environments.npm("install", "--package-lock-only", folder=folder)


if __name__ == "__main__":
    for each, packages in ENVIRONMENTS.items():
        environments.resolve(_FOLDER / "requirements" / f"{each}.txt", packages)
    for each in NODE_FOLDERS:
        _resolve_node(_FOLDER / each)
