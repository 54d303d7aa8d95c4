"""A users file that cannot be read, or has no user, is no caller's fault: 503 with Retry-After, and right again with it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from sidecar.front.programs import PROGRAMS, Program
from sidecar.identity.users import api_key
from tests.front.conftest import Front, Running

NOBODY_UID = 65534
FOLLOWED_S = 10.0


def _directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _loop(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.name)


def _restored(file: Path, content: bytes) -> None:
    """By a rename, as `sidecar users` does it."""
    if file.is_dir():
        file.rmdir()
    fresh = file.with_name("fresh")
    fresh.write_bytes(content)
    fresh.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(fresh, *(NOBODY_UID, NOBODY_UID) if file.parent.stat().st_uid == NOBODY_UID else (0, 0))
    fresh.replace(file)


BREAKS: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "a directory": _directory,
    "without permission": lambda file: file.chmod(0),
    "empty": lambda file: file.write_bytes(b""),
    "comments": lambda file: file.write_bytes(b"# nobody\n\n"),
    "garbage": lambda file: file.write_bytes(bytes(range(256)) * 50 + b"\nlorem: ipsum\n"),
    "a loop": _loop,
}


def _wrong() -> dict[str, str]:
    return {"authorization": f"Bearer {api_key('mallory', 'wrong')}"}


def _credentials(front: Front) -> list[dict[str, str]]:
    key = front.bearer["authorization"].removeprefix("Bearer ")
    return [front.basic, front.bearer, {"x-api-key": key}, {"api-key": key}, _wrong()]


@contextmanager
def _as_nobody() -> Iterator[None]:
    """Root may read everything; the gateway of most people does not run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY_UID)
    os.seteuid(NOBODY_UID)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


async def _reached(front: Front, http: httpx.AsyncClient, status: int) -> None:
    """Nginx reads the file itself, Envoy is given another within half a second."""
    with _as_nobody():
        front.take_users()
    ends_s = time.monotonic() + (0 if front.program.users_by_itself else FOLLOWED_S)
    while (answer := await http.get("/v1/models", headers=front.basic)).status_code != status:
        assert time.monotonic() < ends_s, answer.text


async def _all_get_503(front: Front, http: httpx.AsyncClient) -> None:
    for headers in _credentials(front):
        answer = await http.get("/v1/models", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded"), headers
        assert answer.headers["retry-after"] == "1"
        large = await http.post("/v1/chat/completions", headers=headers, json={"x": "x" * 100_000})
        assert (large.status_code, large.json()["error"]["code"]) == (503, "overloaded")
        theirs = await http.post("/v1/messages", headers=headers, json={})
        assert (theirs.status_code, theirs.json()["type"], theirs.headers["retry-after"]) == (503, "error", "1")
        grpc = {**headers, "content-type": "application/grpc", "te": "trailers"}
        answer = await http.post("/sidecar.v1.InferenceService/Chat", headers=grpc)
        assert (answer.headers["grpc-status"], answer.headers["grpc-retry-pushback-ms"]) == ("14", "1000")
    assert (await http.get("/health")).status_code == 200


@pytest.mark.parametrize("headers_more", [True, False])
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=list(PROGRAMS))
async def test_where_the_users_cannot_be_read_everybody_is_told_to_come_again(
    state: Path, running: Running, program: Program, headers_more: bool
) -> None:
    """`headers_more`: the two ways in which Nginx takes API keys."""
    if os.geteuid() == 0:
        os.chown(state, NOBODY_UID, NOBODY_UID)
    async with running(program, headers_more=headers_more) as (front, core), front.http(2) as http:
        if os.geteuid() == 0:
            for path in (front.users_file, *front.link.parent.rglob("*"), front.link.parent):
                os.chown(path, NOBODY_UID, NOBODY_UID, follow_symlinks=False)
        content = front.users_file.read_bytes()
        for name, broken in BREAKS.items():
            broken(front.users_file)
            await _reached(front, http, 503)
            core.calls.clear()
            await _all_get_503(front, http)
            assert [call.rpc for call in core.calls] == ["Health"] * len(core.calls), name
            _restored(front.users_file, content)
            await _reached(front, http, 200)
            assert (await http.get("/v1/models", headers=_wrong())).status_code == 401
