"""Routes and limits that are managed through the API on one gateway are those of all gateways that share a store."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from grpc import StatusCode

from sidecar.config.route_store import RouteFiles
from sidecar.v1.routes_pb2 import (
    LIMIT_UNIT_REQUESTS,
    GetLimitsRequest,
    RateLimit,
    Route,
    SetLimitsRequest,
    UpdateRouteRequest,
)
from tests.processes import reached, wait_until
from tests.provider import Provider
from tests.routes.managed import KEY, Caller, config_for, refused, spec
from tests.stack.stack import Stack
from tests.store.managed_fleet import DOCUMENTS, KEYS, SEEN_S, STATE, Gateways, config_of
from tests.store.proxy import Proxy
from tests.store.servers import RedisProcess

pytestmark = pytest.mark.slow
LIMIT = RateLimit(unit=LIMIT_UNIT_REQUESTS, count=100, per_seconds=60)
ABORTED = (StatusCode.ABORTED, "CONFLICT")
AWAY = (StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
FAILED = (StatusCode.FAILED_PRECONDITION, "FAILED_PRECONDITION")
ADMIN = (("x-sidecar-user", "boss"),)
TAKES_NAME = """\
  - name: taken
    route_type: llm/v1/chat
    model: {provider: openai-compatible, name: of-file, config: {base_url: %s}}
"""


def held(redis: RedisProcess) -> dict[str, bytes]:
    """What the store has, by name."""
    flat = redis.ask("HGETALL", DOCUMENTS)
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


async def test_what_one_gateway_makes_changes_and_removes_all_have_within_a_second(
    tmp_path: Path, provider: Provider, redis: RedisProcess
) -> None:
    """Also after a failover that lost a change, after FLUSHALL, and after a restart of all gateways: their copies fill the
    store again."""
    async with Gateways(tmp_path, [config_of(provider, redis)] * 3) as fleet:
        await fleet.boss(0).create(spec("made", provider.base_url))
        await fleet.have("made")
        for number in range(3):
            await fleet.boss(number).chat("made")
            assert provider.calls[-1].key == KEY
        assert set(held(redis)) == {"r:made"}
        assert not any(KEY.encode() in value or b"sim-chat" in value for value in held(redis).values()), "sealed"
        versions = {(await fleet.boss(number).get("made")).etag for number in range(3)}
        assert len(versions) == 1, "a version is the same on all gateways"

        await fleet.boss(1).update(spec("made", provider.base_url, model="second"))
        await fleet.have("made", "second")
        await fleet.boss(2).set_limits("made", LIMIT)
        await fleet.boss(2).set_limits("chat", LIMIT)

        async def limited(boss: Caller) -> bool:
            return await boss.limits("made") == [LIMIT] == await boss.limits("chat")

        await fleet.seen(limited)
        changes = [fleet.metric(number, "sidecar_managed_change") for number in range(3)]
        assert changes == [4.0] * 3

        older = redis.ask("GET", STATE), held(redis)
        await fleet.boss(0).update(spec("made", provider.base_url, model="third"))
        await fleet.have("made", "third")
        redis.ask("SET", STATE, older[0])
        redis.ask(
            "HSET", DOCUMENTS, "r:made", older[1]["r:made"]
        )  # a replica that lacked the last change is the master
        await reached(lambda: held(redis)["r:made"] != older[1]["r:made"], 20, "the change in the store again")
        await fleet.have("made", "third")
        await fleet.boss(1).update(spec("made", provider.base_url, model="second"))
        await fleet.have("made", "second")

        redis.ask("FLUSHALL")
        await reached(lambda: set(held(redis)) == {"r:made", "l:made", "l:chat"}, 20, "the copy in the store")
        await fleet.have("made", "second")
        await fleet.boss(0).create(spec("after", provider.base_url))
        await fleet.have("after")

        await fleet.stop(0, 1, 2)
        redis.ask("FLUSHALL")
        await fleet.start(0, 1, 2)
        await fleet.have("made", "second")
        await fleet.have("after")
        await fleet.seen(limited)

        await fleet.stop(2)
        await fleet.boss(1).delete("made")
        await fleet.lack("made", 0, 1)
        await fleet.start(2)
        await fleet.lack("made")
        assert set(held(redis)) == {"r:after", "l:chat"}
        assert [fleet.hosts[number].routes_d.joinpath("made.yaml").exists() for number in range(3)] == [False] * 3
    print(f"the slowest change was on all gateways after {fleet.slowest_s:.2f} s")


async def test_without_the_store_a_gateway_starts_and_serves_from_its_copy_and_changes_nothing(
    tmp_path: Path, provider: Provider, redis: RedisProcess
) -> None:
    async with Gateways(tmp_path, [config_of(provider, redis)] * 2) as fleet:
        await fleet.boss(0).create(spec("made", provider.base_url))
        await fleet.have("made")
        await reached(lambda: "store" in fleet.hosts[1].files(), what="the change, noted")
        before = fleet.hosts[1].files()
        redis.kill()
        await fleet.stop(1)
        await fleet.start(1)
        host = fleet.hosts[1]
        await fleet.boss(1).chat("made")
        await host.logged(r"The store cannot be reached: .* this gateway's copy \(change 1\)")
        assert fleet.metric(1, "sidecar_managed_copy_in_use") == 1
        for change in (
            fleet.boss(1).create(spec("new", provider.base_url)),
            fleet.boss(1).update(spec("made", provider.base_url, model="new")),
            fleet.boss(1).delete("made"),
            fleet.boss(1).set_limits("chat", LIMIT),
        ):
            assert await refused(change) == AWAY
        assert host.files() == before
        redis.start()
        await host.logged("The store is there again: managed routes and limits are those of all gateways")
        assert fleet.metric(1, "sidecar_managed_copy_in_use") == 0
        await fleet.boss(1).update(spec("made", provider.base_url, model="new"))
        await fleet.have("made", "new")


async def test_of_two_admins_who_change_the_same_at_once_one_receives_409(
    tmp_path: Path, provider: Provider, redis: RedisProcess
) -> None:
    """On two gateways: with the version that both read, and without naming one. Then many raise a number by reading and writing
    it, and none of them is lost."""
    async with Gateways(tmp_path, [config_of(provider, redis)] * 2) as fleet:
        made = await fleet.boss(0).create(spec("made", provider.base_url))
        await fleet.have("made")

        async def write(number: int, model: str, etag: str) -> Route | tuple[StatusCode, str]:
            request = UpdateRouteRequest(route=spec("made", provider.base_url, model=model), etag=etag)
            call = fleet.boss(number).routes.UpdateRoute(request, metadata=ADMIN)
            try:
                route: Route = (await call).route
            except grpc.aio.AioRpcError as error:
                trailers: Any = error.trailing_metadata()
                assert dict(trailers)["etag"], "the version that holds now"
                return await refused(call)
            return route

        for etag in (made.etag, ""):
            done = await asyncio.gather(write(0, f"a{etag}", etag), write(1, f"b{etag}", etag))
            won = [each for each in done if isinstance(each, Route)]
            assert len(won) == 1, done
            assert ABORTED in done
            await fleet.have("made", won[0].model.name)

        rounds = 6

        async def raise_by_one(boss: Caller) -> None:
            while True:
                seen = await boss.routes.GetLimits(GetLimitsRequest(route="chat"), metadata=ADMIN)
                count = sum(each.count for each in seen.limits)
                limit = RateLimit(unit=LIMIT_UNIT_REQUESTS, count=count + 1, per_seconds=60)
                try:
                    await boss.routes.SetLimits(
                        SetLimitsRequest(route="chat", limits=[limit], etag=seen.etag), metadata=ADMIN
                    )
                except grpc.aio.AioRpcError as error:
                    assert error.code() is StatusCode.ABORTED, error
                else:
                    return

        async def many(boss: Caller) -> None:
            for _ in range(rounds):
                await raise_by_one(boss)

        async with asyncio.timeout(60):
            await asyncio.gather(*(many(fleet.boss(number)) for number in (0, 1, 0, 1)))

        async def counted(boss: Caller) -> bool:
            return [each.count for each in await boss.limits("chat")] == [4 * rounds]

        await fleet.seen(counted)


async def test_a_change_that_fails_on_its_way_is_made_nowhere_or_everywhere(
    tmp_path: Path, provider: Provider, redis: RedisProcess
) -> None:
    """By a disk that cannot be written, a store that is paused, and an answer that is lost after the change was made."""
    async with Proxy(redis.port) as proxy:
        through_proxy = config_of(provider, redis).replace(str(redis.port), str(proxy.port))
        async with Gateways(tmp_path, [through_proxy, config_of(provider, redis)]) as fleet:
            directory = fleet.hosts[0].routes_d
            directory.write_text("a file")
            assert await refused(fleet.boss(0).create(spec("disk", provider.base_url))) == FAILED
            directory.unlink()
            redis.send(signal.SIGSTOP)
            try:
                assert await refused(fleet.boss(0).create(spec("paused", provider.base_url))) == AWAY
            finally:
                redis.send(signal.SIGCONT)
            await fleet.hosts[0].logged("The store is there again")
            assert held(redis) == {}
            proxy.mode = "lose"
            unknown = (StatusCode.UNAVAILABLE, "NOT_CONFIRMED")
            assert await refused(fleet.boss(0).create(spec("made", provider.base_url))) == unknown
            assert proxy.cuts == 1
            await fleet.have("made")
            assert await fleet.boss(0).names() == await fleet.boss(1).names() == ["chat", "made"]


async def test_the_routes_that_gateways_had_before_become_those_of_all(
    tmp_path: Path, provider: Provider, redis: RedisProcess
) -> None:
    """Of two with the same name the store's holds. One with a key stays where it is: there is nothing to encrypt it with."""
    alone = config_for(provider)
    async with Gateways(tmp_path, [alone] * 2) as fleet:
        await fleet.boss(0).create(spec("both", provider.base_url, model="of-0", key=None))
        await fleet.boss(0).create(spec("first", provider.base_url, key=None))
        await fleet.boss(1).create(spec("both", provider.base_url, model="of-1", key=None))
        await fleet.boss(1).create(spec("second", provider.base_url, key=None))
        await fleet.boss(1).create(spec("keyed", provider.base_url))
        await fleet.stop(0, 1)
        plain = config_of(provider, redis, key="")
        await fleet.start(0, config=plain)
        await fleet.hosts[0].logged("The store had none: this gateway's copy .* was written to it")
        await fleet.start(1, config=plain)
        await fleet.have("first")
        await fleet.have("second")
        await fleet.have("both", "of-0")
        await fleet.hosts[1].logged("The store has other versions, which hold from now on: route both")
        await fleet.boss(1).chat("keyed")
        assert await fleet.boss(0).names() == ["chat", "both", "first", "second"]
        assert await refused(fleet.boss(0).create(spec("new", provider.base_url))) == FAILED
        with pytest.raises(grpc.aio.AioRpcError, match=r"store\.encryption_key"):
            await fleet.boss(0).create(spec("new", provider.base_url))
        await fleet.boss(0).create(spec("new", provider.base_url, key=None))
        await fleet.have("new")
        assert set(held(redis)) == {"r:both", "r:first", "r:second", "r:new"}


async def test_a_gateway_that_cannot_take_a_change_keeps_its_own_version_and_says_so(
    tmp_path: Path, provider: Provider, redis: RedisProcess
) -> None:
    """Its config has a route of that name; the document is of a newer release; it has another key. What it cannot take it does
    not change either."""
    config = config_of(provider, redis)
    other = config_of(provider, redis, more=TAKES_NAME % provider.base_url)
    strange = config_of(provider, redis, key="key-b")
    async with Gateways(tmp_path, [config, other, strange]) as fleet:
        await fleet.boss(0).create(spec("taken", provider.base_url, model="managed"))
        await fleet.hosts[1].logged("route taken is not taken, .* has a route of that name")
        await fleet.hosts[2].logged("route taken is not taken, .* another `store.encryption_key`")
        for number in (1, 2):
            await reached(lambda number=number: fleet.metric(number, "sidecar_managed_refused") == 1, what="the metric")  # type: ignore[misc]
        assert (await fleet.boss(1).get("taken")).model.name == "of-file"
        assert await fleet.boss(2).names() == ["chat"]
        assert await refused(fleet.boss(2).create(spec("taken", provider.base_url))) == FAILED
        await fleet.boss(0).create(spec("other", provider.base_url))
        await fleet.have("other", "sim-chat", 0, 1)

        await fleet.hosts[1].reload(config)
        await fleet.have("taken", "managed", 0, 1)
        assert fleet.metric(1, "sidecar_managed_refused") == 0

        text = redis.ask("GET", STATE).decode()
        lineage, number, _ = text.split(" ")
        newer = json.dumps({"form": 2, "text": "{}", "keys": {}})
        redis.ask("HSET", DOCUMENTS, "r:newer", b"p" + newer.encode())
        redis.ask("ZADD", f"{STATE}:changes", int(number) + 1, "r:newer")
        redis.ask("SET", STATE, f"{lineage} {int(number) + 1} chance")
        await fleet.hosts[0].logged("route newer is not taken, .* another `store.encryption_key`")
        await fleet.boss(0).delete("taken")
        await fleet.lack("taken", 0, 1)


async def test_a_document_of_a_newer_release_is_not_taken(
    tmp_path: Path, provider: Provider, redis: RedisProcess
) -> None:
    """Nor what no gateway writes: keys that it does not bring, and names that it should not have."""
    async with Gateways(tmp_path, [config_of(provider, redis, key="")]) as fleet:
        await fleet.boss(0).create(spec("made", provider.base_url, key=None))
        text = json.dumps({"routes": [{"name": "thief", "model": {"config": {"api_key": "secret:made-1"}}}]})
        planted = {
            "r:newer": {"form": 2, "text": "{}", "keys": {}},
            "r:thief": {"form": 1, "text": text, "keys": {}},
            "r:../up": {"form": 1, "text": json.dumps({"routes": [{"name": "../up"}]}), "keys": {}},
            "l:chat": {"form": 1, "limits": [{"unit": "wishes", "count": 1, "per_s": 1, "each": False}]},
            "x:what": {"form": 1},
        }
        lineage, number, _ = redis.ask("GET", STATE).decode().split(" ")
        for name, document in planted.items():
            redis.ask("HSET", DOCUMENTS, name, b"p" + json.dumps(document).encode())
            redis.ask("ZADD", f"{STATE}:changes", int(number) + 1, name)
        redis.ask("SET", STATE, f"{lineage} {int(number) + 1} chance")
        await fleet.hosts[0].logged("route newer is not taken, .* a newer release wrote it")
        await reached(lambda: fleet.metric(0, "sidecar_managed_refused") == len(planted), what="all of them")
        assert await fleet.boss(0).names() == ["chat", "made"]
        assert await fleet.boss(0).limits("chat") == []
        assert set(RouteFiles(str(fleet.hosts[0].folder)).texts()) == {str(fleet.hosts[0].routes_d / "made.yaml")}


def test_by_rest_behind_both_fronts(tmp_path: Path, provider: Provider, redis: RedisProcess) -> None:
    """What is made behind Nginx is changed behind Envoy; who builds on an older version gets 409 and the newer one; without the
    store 503 and when to try again."""
    for front in ("nginx", "envoy"):
        (tmp_path / front).mkdir()
        (tmp_path / front / "key-a").write_text(KEYS["key-a"])
    consumers = 'consumers: [{name: boss, users: ["*"], roles: [admin]}]\n'
    config = config_of(provider, redis, consumers=consumers)
    model = {"provider": "openai-compatible", "name": "m1", "config": {"base_url": provider.base_url, "api_key": KEY}}
    body = {"name": "made", "route_type": "llm/v1/chat", "model": model}
    with (
        Stack(tmp_path / "nginx", config, workers=1) as nginx,
        Stack(tmp_path / "envoy", config, workers=1, front="envoy") as envoy,
        nginx.http() as first,
        envoy.http(key=nginx.api_key) as second,  # they share their users
    ):
        created = first.post("/api/2.0/gateway/routes/", json=body)
        route = "/api/2.0/gateway/routes/made"
        wait_until(lambda: second.get(route).status_code == 200, SEEN_S, "the route behind Envoy")
        old = {"If-Match": second.get(route).headers["etag"]}
        assert old["If-Match"] == created.headers["etag"]
        changed = second.patch(route, json={**body, "model": {**model, "name": "m2"}}, headers=old)
        assert changed.status_code == 200
        wait_until(lambda: first.get(route).json()["model"]["name"] == "m2", SEEN_S, "the change behind Nginx")
        for http in (first, second):
            late = http.patch(route, json=body, headers=old)
            assert (late.status_code, late.headers["etag"]) == (409, changed.headers["etag"])
            limits = {"route": "made", "limits": []}
            assert http.post("/api/2.0/gateway/limits/", json=limits, headers=old).status_code == 409
        redis.kill()
        for http in (first, second):
            refusal = http.patch(route, json=body)
            assert (refusal.status_code, refusal.headers["retry-after"]) == (503, "1"), refusal.text
            assert "Nothing was changed" in refusal.text
            assert http.get(route).json()["model"]["name"] == "m2"
