"""Whatever happens in the middle of a change: routes are there whole or not at all, and what was confirmed stays."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from pathlib import Path

import grpc
import grpc.aio
import pytest

from sidecar.config.route_store import RouteFiles
from tests.processes import RunningProcess, is_alive, reached, wait_until
from tests.provider import Provider
from tests.routes.managed import KEY, Caller, Managed, config_for, refused, spec
from tests.scale import scaled

pytestmark = pytest.mark.slow
KILLS = scaled(100, minimum=12)
CONFLICT = """\
  - name: made
    route_type: llm/v1/chat
    model: {provider: openai-compatible, name: of-file, config: {base_url: %s}}
"""


async def test_a_restart_and_a_reload_keep_created_routes(tmp_path: Path, provider: Provider) -> None:
    config = config_for(provider)
    with Managed(tmp_path, config) as core:
        async with core.caller(0) as boss, core.caller(1) as other:
            for name in ("b", "a", ".hidden", "n" * 128):
                await boss.create(spec(name, provider.base_url))
            made = core.config_hash()
            assert await other.names() == ["chat", "b", "a", ".hidden", "n" * 128]
            await core.reload(config + "# changed\n")
            names = await other.names()
            assert names == await boss.names() == ["chat", ".hidden", "a", "b", "n" * 128]
            await core.reload(config)
            assert core.config_hash() == made, "a change leads to what reading everything leads to"
        assert core.running.process.stop(deadline_s=60) == 0
    with Managed(tmp_path, config) as core:
        async with core.caller(1) as other:
            assert await other.names() == names
            for name in names:
                await other.chat(name)
    assert {call.key for call in provider.calls[-4:]} == {KEY}


async def test_a_file_that_takes_a_created_routes_name_is_refused_until_the_route_is_gone(
    tmp_path: Path, provider: Provider
) -> None:
    both = config_for(provider) + CONFLICT % provider.base_url
    with Managed(tmp_path, config_for(provider)) as core:
        async with core.caller(0) as boss, core.caller(1) as other:
            await boss.create(spec("made", provider.base_url))
            core.rewrite(both)
            line = (await core.logged(r"made\.yaml:\d+: .*taken.*")).group()
            assert f"{core.running.config}:" in line, "both places are named"
            await core.logged("The new configuration was refused; the old one stays in use")
            assert (await other.get("made")).model.name == "sim-chat"
            await boss.delete("made")
            await reached(lambda: "is in use: 2 routes." in core.log, deadline_s=60, what="the file's turn")
            assert (await other.get("made")).model.name == (await boss.get("made")).model.name == "of-file"


async def test_of_many_who_create_one_name_exactly_one_does(tmp_path: Path, provider: Provider) -> None:
    with Managed(tmp_path, config_for(provider)) as core:
        async with core.caller(0) as first, core.caller(1) as second:
            calls = [
                (first, second)[number % 2].create(spec("one", provider.base_url, model=f"model-{number}"))
                for number in range(20)
            ]
            done = await asyncio.gather(*calls, return_exceptions=True)
            won = [answer for answer in done if not isinstance(answer, BaseException)]
            assert len(won) == 1
            lost = [error.code() for error in done if isinstance(error, grpc.aio.AioRpcError)]
            assert lost == [grpc.StatusCode.ALREADY_EXISTS] * 19
            assert await first.get("one") == await second.get("one") == won[0]


async def test_changes_and_reloads_of_the_file_do_not_lose_each_other(tmp_path: Path, provider: Provider) -> None:
    config = config_for(provider)
    rounds = 10
    with Managed(tmp_path, config) as core:
        async with core.caller(0) as first, core.caller(1) as second:
            for number in range(rounds):
                core.rewrite(config.replace("sim-chat", f"sim-{number}"))
                core.running.process.send(signal.SIGHUP)
                for step in range(5):
                    name = f"r{number}-{step}"
                    await first.create(spec(name, provider.base_url))
                    assert (await second.get(name)).name == name
            core.rewrite(config.replace("sim-chat", "sim-last"))

            async def arrived() -> bool:
                return {(await each.get("chat")).model.name for each in (first, second)} == {"sim-last"}

            end_s = asyncio.get_running_loop().time() + 60
            while not await arrived():
                assert asyncio.get_running_loop().time() < end_s
                await asyncio.sleep(0.01)
            assert len(await first.names()) == len(await second.names()) == 1 + 5 * rounds


async def test_a_worker_that_dies_while_its_change_waits_answers_unavailable_and_the_change_is_whole(
    tmp_path: Path, provider: Provider
) -> None:
    with Managed(tmp_path, config_for(provider)) as core:
        async with core.caller(0) as boss, core.caller(1) as other:
            await boss.names()
            pid = core.pid_of(0)
            core.running.process.send(signal.SIGSTOP)
            try:
                waiting = asyncio.ensure_future(refused(boss.create(spec("made", provider.base_url))))
                await boss.names()  # the worker has the call: it reads its connection in order
                os.kill(pid, signal.SIGKILL)
                assert (await waiting)[0] is grpc.StatusCode.UNAVAILABLE
            finally:
                core.running.process.send(signal.SIGCONT)
            await reached(lambda: not is_alive(pid), 60)
            await core.serving_again(0, but=pid)
            async with core.caller(0) as again:
                await again.create(spec("next", provider.base_url))  # one at a time: the other one is over then
                names = [await again.names(), await other.names()]
                assert names[0] == names[1]
                assert ("made" in names[0]) is core.routes_d.joinpath("made.yaml").exists()
                if "made" in names[0]:
                    await again.chat("made")
                await other.chat("next")


async def test_workers_that_are_replaced_and_their_successors_know_what_is_made_meanwhile(
    tmp_path: Path, provider: Provider
) -> None:
    with Managed(tmp_path, config_for(provider)) as core:
        async with core.caller(0) as before, core.caller(1) as also_before:
            await asyncio.gather(before.names(), also_before.names())  # connected to the workers of now
            old = [core.pid_of(0), core.pid_of(1)]
            core.running.process.send(signal.SIGUSR2)
            made: list[str] = []
            end_s = asyncio.get_running_loop().time() + 120
            while "Rolling restart: 2 new workers are serving" not in core.log or len(made) < 20:
                assert asyncio.get_running_loop().time() < end_s
                async with core.caller(len(made) % 2) as whoever:
                    await whoever.create(spec(f"m{len(made)}", provider.base_url))
                made.append(f"m{len(made)}")
                async with core.caller(len(made) % 2) as other:
                    for each in (before, also_before, other):
                        assert (await each.get(made[-1])).name == made[-1]
            assert not {core.pid_of(0), core.pid_of(1)} & set(old)
            async with core.caller(0) as first, core.caller(1) as second:
                assert await first.names() == await second.names() == ["chat", *made]


async def test_a_disk_that_cannot_be_written_changes_nothing(tmp_path: Path, provider: Provider) -> None:
    with Managed(tmp_path, config_for(provider)) as core:
        core.routes_d.write_text("in the way")
        async with core.caller(0) as boss, core.caller(1) as other:
            reason = (grpc.StatusCode.FAILED_PRECONDITION, "FAILED_PRECONDITION")
            assert await refused(boss.create(spec("made", provider.base_url))) == reason
            assert await boss.names() == await other.names() == ["chat"]
            core.routes_d.unlink()
            await boss.create(spec("made", provider.base_url))
            await other.chat("made")


async def test_confirmed_routes_outlive_a_kill_of_everything(tmp_path: Path, provider: Provider) -> None:
    confirmed: list[str] = []
    with Managed(tmp_path, config_for(provider)) as core:
        async with core.caller(0) as first, core.caller(1) as second:

            async def create(boss: Caller, start: int) -> None:
                for number in range(start, 10_000, 2):
                    await boss.create(spec(f"k{number}", provider.base_url))
                    confirmed.append(f"k{number}")

            creating = [asyncio.ensure_future(create(each, start)) for start, each in enumerate((first, second))]
            await reached(lambda: len(confirmed) >= 10, 60)
            os.kill(core.running.process.pid, signal.SIGKILL)
            await asyncio.gather(*creating, return_exceptions=True)
    assert broken(core.routes_d) == []
    with Managed(tmp_path, config_for(provider)) as core:
        async with core.caller(0) as boss:
            names = await boss.names()
            assert set(confirmed) <= set(names)
            await boss.chat(confirmed[-1])
            await boss.chat(names[-1])
    assert left_over(core.routes_d) == [], "the start has tidied up"


WRITER = """
import sys, json, itertools
from sidecar.config.route_store import RouteFiles, key_name
files = RouteFiles(sys.argv[1])
print("ready", flush=True)
for number in itertools.count():
    name, key = f"r{number % 5}", key_name("r")
    files.put(name, json.dumps({"key": f"secret:{key}"}), {key: "sk-" + "x" * 5000}, keep_limits=False)
    if number % 3 == 0:
        files.remove(name)
"""


def test_files_are_whole_at_whatever_moment_their_writer_is_killed(tmp_path: Path) -> None:
    moments = random.Random(7)
    for _ in range(KILLS):
        with RunningProcess.python("-c", WRITER, str(tmp_path)) as writer:
            writer.wait_for_line("ready", 60)
            wait_until(lambda: any(tmp_path.glob("routes.d/*.yaml")), 60)
            spin = moments.randrange(200_000)
            while spin:  # a moment, not a wait for something
                spin -= 1
            writer.send(signal.SIGKILL)
            writer.wait()
        assert broken(tmp_path / "routes.d") == []
        RouteFiles(str(tmp_path)).sweep()
        assert broken(tmp_path / "routes.d") == left_over(tmp_path / "routes.d") == []


def test_the_checks_above_see_what_is_broken_and_left_over(tmp_path: Path) -> None:
    files = RouteFiles(str(tmp_path))
    files.put("good", '{"key": "secret:good-1"}', {"good-1": "sk"}, keep_limits=False)
    assert broken(files.root) == left_over(files.root) == []
    (files.root / "cut.yaml").write_text('{"key": "sec')
    (files.root / "lost.yaml").write_text('{"key": "secret:lost-1"}')
    (files.root / "half.yaml~").write_text("{")
    (files.secrets / "orphan-1").write_text("sk")
    assert broken(files.root) == ["cut.yaml", "lost.yaml"]
    assert left_over(files.root) == ["half.yaml~", "orphan-1"]


def broken(root: Path) -> list[str]:
    """Files of routes that are not whole, or name a key that is not there."""
    return [path.name for path in sorted(root.glob("*.yaml")) if not _whole(path, root / "secrets")]


def _whole(path: Path, secrets: Path) -> bool:
    text = path.read_text()
    try:
        json.loads(text)
    except ValueError:
        return False
    return all((secrets / key).is_file() and (secrets / key).read_text() for key in _keys(text))


def left_over(root: Path) -> list[str]:
    """Half-written files, and keys that nothing names."""
    named = {key for path in root.glob("*.yaml") for key in _keys(path.read_text())}
    halves = [path.name for path in root.rglob("*~")]
    return sorted(halves) + sorted(
        path.name for path in (root / "secrets").glob("*") if path.name not in named and path.name not in halves
    )


def _keys(text: str) -> list[str]:
    return [part.split('"')[0] for part in text.split('"secret:')[1:]]
