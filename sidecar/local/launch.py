"""Starts and probes the embedded model's server without importing llama.cpp: the supervisor's side."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import sidecar.local.free_ports

MODEL = "smollm2"  # `model.name` of a route with provider `local`
# A health check on loopback takes a millisecond; a machine under full load may need longer.
_READY_TIMEOUT_S = 2.0
_STATUS_LINE_BYTES_MAX = 64


def free_port() -> int:
    """Returns a TCP port that is free on loopback now. Keep it when the model restarts: the workers know its
    address."""
    return sidecar.local.free_ports.free_port()


def base_url(port: int) -> str:
    """The base URL of provider `local`, for all three tasks."""
    return f"http://127.0.0.1:{port}/v1"


def command(model_path: Path, port: int) -> list[str]:
    """The command that serves the model until SIGTERM, or until the process that called this function is gone.

    It only prints one line on stderr if it fails (exit code 1): no such file, no such port, no xllamacpp.
    """
    ours = ["--model", str(model_path), "--port", str(port), "--parent-pid", str(os.getpid())]
    return [sys.executable, "-m", "sidecar.local.server", *ours]


async def ready(url: str) -> bool:
    """Whether the server with this base URL has loaded its model and answers. Never raises."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(_READY_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=_STATUS_LINE_BYTES_MAX)
            try:
                writer.write(f"GET /health HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
                return (await reader.readline()).split(b" ")[1:2] == [b"200"]
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):  # ValueError: a line beyond the limit
        return False
