"""Slow writers of a config file, each stopped in the middle, and what is asked of whoever follows the file meanwhile."""

from __future__ import annotations

import asyncio
import mmap
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from sidecar.domain.caller import Caller
from sidecar.domain.snapshot import Snapshot
from sidecar.gateway.consumers import Consumers

_ROUTE = (
    "  - {{name: {}, route_type: llm/v1/chat, model: {{provider: openai, name: m, config: {{openai_api_key: k}}}}}}\n"
)
OLD = (
    "routes:\n"
    + "".join(map(_ROUTE.format, ("chat", "dear", "secret")))
    + """\
consumers:
  - name: boss
    users: [alice]
    roles: [admin]
  - name: team
    users:
      - bob
    allow:
      - chat
      - dear
  - name: others
    users: ["*"]
    deny:
      - dear
      - secret
    limits:
      - {requests: 5, per: minute}
"""
)
# More users, routes and consumers: edits that need nobody's word.
NEW = (
    OLD.replace("secret, r", "hidden, r")
    .replace("      - secret\n", "      - secret\n      - hidden\n")
    .replace("      - bob\n", "      - bob\n      - carol\n")
    + """\
  - name: stubs
    local: true
    allow: [chat]
"""
)
CALLERS = [*(Caller(user, False, "", None) for user in ("alice", "bob", "carol", "nobody")), Caller("", True, "", None)]
Pause = Callable[[], Awaitable[None]]
Writer = Callable[[Path, str, int, Pause], Awaitable[None]]


def rights(snapshot: Snapshot) -> set[tuple[str, str]]:
    """What each caller sees, `admin` and `unlimited` included."""
    consumers, found = Consumers(snapshot), set()
    for caller in CALLERS:
        consumer, who = consumers.of(caller), caller.user or "stub"
        found |= {(who, name) for name in consumers.routes(consumer)}
        found |= {(who, "admin")} if consumer.admin else set()
        found |= {(who, "unlimited")} if consumer.allow and not consumer.limits else set()
    return found


def excess(seen: list[Snapshot], old: Snapshot, new: Snapshot) -> set[tuple[str, str]]:
    """What somebody could do at some moment and may by neither file."""
    allowed = rights(old) | rights(new)
    return {right for snapshot in seen for right in rights(snapshot) - allowed}


async def truncate_and_write(path: Path, text: str, cut: int, pause: Pause) -> None:
    with path.open("w") as file:
        await _in_two(file.write, file.flush, text, cut, pause)


async def in_place(path: Path, text: str, cut: int, pause: Pause) -> None:
    """As `rsync --inplace`: the rest is still the old one's."""
    with path.open("r+") as file:
        await _in_two(file.write, file.flush, text, cut, pause)
        file.truncate()


async def append_to_an_open_file(path: Path, text: str, cut: int, pause: Pause) -> None:
    path.write_text("")
    with path.open("a") as file:
        await _in_two(file.write, file.flush, text, cut, pause)


async def append_and_close_each_time(path: Path, text: str, cut: int, pause: Pause) -> None:
    """As a script of `echo >>`: in the pause nobody has it open."""
    path.write_text(text[:cut])
    await pause()
    with path.open("a") as file:
        file.write(text[cut:])


async def copy_over_a_slow_pipe(path: Path, text: str, cut: int, pause: Pause) -> None:
    """Another process."""
    with path.open("wb") as file:
        process = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE, stdout=file)
    assert process.stdin is not None
    process.stdin.write(text[:cut].encode())
    await process.stdin.drain()
    while path.stat().st_size < cut:
        await asyncio.sleep(0.001)
    await pause()
    process.stdin.write(text[cut:].encode())
    process.stdin.close()
    assert await process.wait() == 0


async def as_vim(path: Path, text: str, cut: int, pause: Pause) -> None:
    """The old one becomes the backup, the new one is written under the name."""
    path.rename(path.with_name("config.yaml~"))
    await truncate_and_write(path, text, cut, pause)


async def behind_a_symlink(path: Path, text: str, cut: int, pause: Pause) -> None:
    """The name is flipped to another directory, where the file is still being written."""
    folder = path.parent / f"version-{os.urandom(4).hex()}"
    folder.mkdir()
    with (folder / "config.yaml").open("w") as file:
        file.write(text[:cut])
        file.flush()
        link = path.with_name("link")
        link.symlink_to(folder / "config.yaml")
        link.rename(path)
        await pause()
        file.write(text[cut:])


async def through_memory(path: Path, text: str, cut: int, pause: Pause) -> None:
    """Written through a mapping, the file closed; comments fill the place of what is not there yet."""
    data = text.encode()
    filling = ("\n" + "#" * len(data))[: len(data) - cut].encode()
    with path.open("r+b") as file:
        file.truncate(len(data))
        memory = mmap.mmap(file.fileno(), len(data))
    with memory:
        memory[:] = data[:cut] + filling
        await pause()
        memory[cut:] = data[cut:]


async def _in_two(
    write: Callable[[str], object], flush: Callable[[], object], text: str, cut: int, pause: Pause
) -> None:
    write(text[:cut])
    flush()
    await pause()
    write(text[cut:])


WRITERS: tuple[Writer, ...] = (
    truncate_and_write,
    in_place,
    append_to_an_open_file,
    append_and_close_each_time,
    copy_over_a_slow_pipe,
    as_vim,
    behind_a_symlink,
    through_memory,
)
