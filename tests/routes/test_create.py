"""Routes made by call: every worker knows them when the call answers, keys are never seen again, and what is refused is said."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from sidecar.v1 import routes_pb2
from tests.provider import Provider
from tests.routes.managed import KEY, Managed, config_for, refused, spec
from tests.scale import scaled

pytestmark = pytest.mark.slow
PAIRS = scaled(1000, minimum=100)
# Each would make the gateway read something of its own.
REFERENCES = ("$HOME", "${HOME}", "file:/etc/hostname", "/etc/hostname", "./config.yaml", "../x", "~/.ssh", "secret:x")


@pytest.fixture(scope="module")
def simulator() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory, simulator: Provider) -> Iterator[Managed]:
    with Managed(tmp_path_factory.mktemp("managed"), config_for(simulator)) as running:
        yield running


async def test_a_route_is_there_for_the_next_call_on_any_worker_by_any_service(
    core: Managed, simulator: Provider
) -> None:
    before = len(simulator.calls)
    async with core.caller(0) as first, core.caller(1) as second:
        workers = (first, second)
        for number in range(PAIRS):
            makes, asks = workers[number % 2], workers[(number + 1) % 2]
            name = f"pair-{number}"
            if number % 8 < 4:
                await makes.create(spec(name, simulator.base_url))
            else:
                assert await makes.rest_create(name, simulator.base_url) == 200
            if number % 4 < 2:
                await asks.chat(name)
            else:
                assert await asks.rest_chat(name) == 200
            if number % 10:  # a tenth stays
                if number % 3:
                    await asks.delete(name)
                else:
                    assert await asks.rest_delete(name) == 200
                assert await refused(makes.chat(name)) == (grpc.StatusCode.NOT_FOUND, "ROUTE_NOT_FOUND")
        assert len(await first.names()) == len(await second.names()) >= 1 + len(range(0, PAIRS, 10))
    assert {call.key for call in simulator.calls[before:]} == {KEY}


async def test_a_key_is_in_its_file_and_nowhere_else(core: Managed, simulator: Provider) -> None:
    key = "sk-only-in-its-file-0123456789"
    answers: list[str] = []
    async with core.caller(0) as boss, core.caller(1) as other:
        answers.append(str(await boss.create(spec("secretive", simulator.base_url, key=key))))
        answers.append(str(await other.get("secretive")))
        wrong = spec("wrong", simulator.base_url, key=key, config={"api_kye": key})
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await boss.create(wrong)
        answers.append(f"{error.value.details()} {error.value.trailing_metadata()}")
        await other.chat("secretive")
    assert key not in "".join(answers)
    assert key[-10:] not in core.log
    files = core.files()
    assert [path for path, text in files.items() if key in text] == [
        path for path in files if path.startswith("secrets/secretive-")
    ]
    assert any(text.strip() == key for text in files.values()), "the check above sees the key where it is"


async def test_files_are_for_their_owner_alone_and_the_main_file_is_never_rewritten(
    core: Managed, simulator: Provider
) -> None:
    before = core.running.config.stat()
    async with core.caller(0) as boss:
        await boss.create(spec("owned", simulator.base_url))
    assert {stat.S_IMODE(path.stat().st_mode) for path in core.routes_d.rglob("*") if path.is_file()} == {0o600}
    folders = [core.routes_d, *(path for path in core.routes_d.rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    after = core.running.config.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("reference", REFERENCES)
async def test_a_reference_in_place_of_a_key_is_refused(core: Managed, simulator: Provider, reference: str) -> None:
    async with core.caller(0) as boss:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await boss.create(spec("reader", simulator.base_url, key=reference))
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "model.config.api_key" in str(error.value.details())
        assert "reader" not in await boss.names()
    assert not [path for path in core.files() if "reader" in path]


async def test_a_file_of_the_servers_cannot_be_named(core: Managed, simulator: Provider) -> None:
    async with core.caller(0) as boss:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await boss.create(spec("reader", simulator.base_url, settings='{"ca_file": "/etc/hostname"}'))
        assert "ca_file" in str(error.value.details())


async def test_a_key_with_the_name_of_a_file_is_a_key(core: Managed, simulator: Provider) -> None:
    async with core.caller(0) as boss:
        await boss.create(spec("literal", simulator.base_url, key="config.yaml"))
        await boss.chat("literal")
    assert simulator.calls[-1].key == "config.yaml"


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        (spec("../out", "http://127.0.0.1:9"), "name: "),
        (spec("", "http://127.0.0.1:9"), "name: "),
        (spec("bad", "ftp://127.0.0.1:9"), "model.config.base_url: must be a URL"),
        (spec("bad", "http://127.0.0.1:9", settings='{"timeouts": {"totl": "1s"}}'), 'did you mean "total"?'),
        (spec("bad", "http://127.0.0.1:9", settings='{"name": "other"}'), "settings_json must not have name"),
        (spec("bad", "http://127.0.0.1:9", settings="[]"), "settings_json is not a JSON object"),
        (spec("bad", "http://127.0.0.1:9", settings='{"timeouts": NaN}'), "settings_json is not a JSON object"),
        (
            routes_pb2.RouteSpec(
                name="bad",
                task=routes_pb2.TASK_EMBEDDINGS,
                model=routes_pb2.ModelSpec(provider="anthropc", name="x", config_json='{"anthropic_api_key": "sk-x"}'),
            ),
            'did you mean "anthropic"?',
        ),
        (routes_pb2.RouteSpec(name="bad"), "route has no task"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_route_is_checked_as_the_file_is(core: Managed, route: routes_pb2.RouteSpec, reason: str) -> None:
    before = core.files()
    async with core.caller(1) as boss:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await boss.create(route)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason in str(error.value.details())
    assert "routes.d" not in str(error.value.details()), "where the server keeps its files is not the caller's"
    assert core.files() == before
    assert not (core.folder / "out.yaml").exists()


async def test_every_problem_is_said_at_once(core: Managed) -> None:
    async with core.caller(1) as boss:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await boss.create(spec("b d", "nowhere", settings='{"timeouts": {"idle": "soon"}}'))
    assert {line.split(":")[0] for line in str(error.value.details()).splitlines()} == {
        "name",
        "timeouts.idle",
        "model.config.base_url",
    }


async def test_an_update_replaces_the_route_and_its_key(core: Managed, simulator: Provider) -> None:
    async with core.caller(0) as boss, core.caller(1) as other:
        await boss.create(spec("changing", simulator.base_url, key="sk-old-0123456789"))
        await other.chat("changing")
        changed = await other.update(spec("changing", simulator.base_url, model="sim-new", key="sk-new-0123456789"))
        assert changed.model.name == "sim-new"
        await boss.chat("changing")
        assert [call.key for call in simulator.calls[-2:]] == ["sk-old-0123456789", "sk-new-0123456789"]
        assert simulator.calls[-1].json["model"] == "sim-new"
        assert [text for text in core.files().values() if "sk-old" in text] == []
        await boss.delete("changing")
    assert not [path for path in core.files() if "changing" in path], "its key went with it"


async def test_routes_of_the_file_and_taken_names_are_left_alone(core: Managed, simulator: Provider) -> None:
    async with core.caller(0) as boss:
        taken = (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS")
        of_file = (grpc.StatusCode.FAILED_PRECONDITION, "FAILED_PRECONDITION")
        missing = (grpc.StatusCode.NOT_FOUND, "ROUTE_NOT_FOUND")
        assert await refused(boss.create(spec("chat", simulator.base_url))) == taken
        assert await refused(boss.update(spec("chat", simulator.base_url))) == of_file
        assert await refused(boss.delete("chat")) == of_file
        assert await refused(boss.update(spec("nobody", simulator.base_url))) == missing
        assert await refused(boss.delete("nobody")) == missing
        await boss.chat("chat")


def test_every_file_lies_where_it_should(core: Managed) -> None:
    assert {Path(path).parts[0] for path in core.files() if "/" in path} <= {"secrets", "limits"}
