"""Generates the sync client from the async one: each module of client/llm_gateway_client/aio as text, word by word
without `await`.

Words that are not in the tables are copied, so mypy finds missing entries.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = Path("client/llm_gateway_client/aio")
TARGET = Path("client/llm_gateway_client/sync")
# Longer words first if one contains the other.
_PATTERNS = (
    (r"AsyncGenerator\[(.+?), None\]", r"Generator[\1, None, None]"),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bimport grpc\.aio\n", ""),
    (r"\bgrpc\.aio\.", "grpc."),
    (r"\bllm_gateway_client\.aio\b", "llm_gateway_client.sync"),
    (r"\bimport asyncio\b", "import time"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"\bAsync(Client|Stream|Transport|RestTransport|GrpcTransport|Generator|Iterator)\b", r"\1"),
    (r"\b(?:a|async)(closing|next|contextmanager)\b", r"\1"),
    (r"\b__a(enter|exit|iter|next)__\b", r"__\1__"),
    (r"\baclose\b", "close"),
    (r"\baiter_bytes\b", "iter_bytes"),
    (r"\basync_within\b", "within"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\bAn async iterator\b", "An iterator"),
    # What only applies to one of them.
    (r"Belongs to one event loop\.", "Threads may share it."),
    (r"Channels belong to the event loop of the first call\.", "Threads may share it."),
    (
        r"leaving its `with` block, cancels the call\.",
        "leaving its `with` block, cancels the call; so does dropping it.",
    ),
    (r"The async client, and the source of the sync one: .*\.", "The sync client, generated from ../aio."),
)


def modules(root: Path) -> dict[Path, str]:
    """The sync modules' paths below the root, and their texts."""
    return {TARGET / path.name: text_of(path) for path in sorted((root / SOURCE).glob("*.py"))}


def text_of(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    for pattern, replacement in _PATTERNS:
        text = re.sub(pattern, replacement, text)
    if path.name != "__init__.py":
        text = f"# Generated from {SOURCE.name}/{path.name} by tools/sync_client.py.\n{text}"
    return formatted(text, TARGET / path.name)


def formatted(text: str, path: Path) -> str:
    """As `make fmt` would format it."""
    ruff = (sys.executable, "-m", "ruff")
    for command in (
        ("check", "--quiet", "--fix", "--select", "I", "--stdin-filename"),
        ("format", "--quiet", "--stdin-filename"),
    ):
        done = subprocess.run(
            [*ruff, *command, str(ROOT / path), "-"], cwd=ROOT, input=text, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise SystemExit(f"{path}: {done.stderr}")
        text = done.stdout
    return text
