"""Uses Envoy's admin socket to let running calls finish, and to read counters."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
from pathlib import Path

_SOCKET = "run/admin.sock"
_ANSWER_TIMEOUT_S = 5.0  # it answers in milliseconds; a busy machine takes longer
_ANSWER_BYTES_MAX = 4 * 1024 * 1024
_PAUSE_S = 0.05
# Envoy's name of a file that it reads by itself -> ours.
_FOLLOWED = {"users": "users", "cors": "origins of web pages", "front": "certificate"}
_FAILURES = "update_rejected|update_failure|key_rotation_failed"
_REFUSED = f"^(extension_config_discovery.http_filter|sds).({'|'.join(_FOLLOWED)}).({_FAILURES})$"
# Running calls on the public listener. Idle connections do not count.
_ACTIVE = "http.front.downstream_rq_active"


async def drain(folder: Path, grace_s: float) -> None:
    """Refuses new connections and asks existing ones to close. Returns once no call is left, after `grace_s`, or if
    Envoy is gone."""
    try:
        async with asyncio.timeout(grace_s):
            await ask(folder, "POST", "/drain_listeners?graceful")
            while True:
                if await counter(folder, _ACTIVE) == 0:
                    return
                await asyncio.sleep(_PAUSE_S)
    except (OSError, http.client.HTTPException, TimeoutError):
        return


async def counter(folder: Path, name: str) -> int:
    """Returns one of Envoy's counters or gauges; 0 if it does not exist yet. Raises OSError,
    http.client.HTTPException."""
    text = await ask(folder, "GET", f"/stats?filter=^{name}$")
    return sum(int(line.rpartition(": ")[2]) for line in text.splitlines() if line.startswith(f"{name}: "))


async def refused(folder: Path) -> dict[str, int]:
    """How often it has refused each of the files that it reads by itself. OSError, http.client.HTTPException."""
    found = dict.fromkeys(_FOLLOWED.values(), 0)
    for line in (await ask(folder, "GET", f"/stats?filter={_REFUSED}")).splitlines():
        name, _, count = line.rpartition(": ")
        found[_FOLLOWED[name.split(".")[-2]]] += int(count)
    return found


async def ask(folder: Path, verb: str, path: str) -> str:
    """Returns the body of an answer. Raises OSError, http.client.HTTPException."""
    return await asyncio.to_thread(_ask, folder, verb, path)


def _ask(folder: Path, verb: str, path: str) -> str:
    # The socket's path may exceed the kernel's limit, so it is addressed through its folder's descriptor.
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    connection = http.client.HTTPConnection("admin")
    try:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(_ANSWER_TIMEOUT_S)
        connection.sock.connect(f"/proc/self/fd/{descriptor}/{_SOCKET}")
        connection.request(verb, path)
        return connection.getresponse().read(_ANSWER_BYTES_MAX).decode()
    finally:
        connection.close()
        os.close(descriptor)
