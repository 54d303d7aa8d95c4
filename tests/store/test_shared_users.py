"""Users of the state directory are those of all gateways that share a store: behind both fronts, with the command line."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.supervisor.shared_users import User, edited, merged
from tests.cli.running import sidecar
from tests.processes import wait_until
from tests.provider import Provider
from tests.stack.stack import Stack
from tests.store.managed_fleet import KEYS, SEEN_S, config_of
from tests.store.servers import RedisProcess

EVERYBODY = 'consumers: [{name: everybody, users: ["*"], roles: [admin]}]\n'


def add(stack: Stack, name: str, *options: str) -> str:
    """The new API key."""
    done = sidecar("users", "add", name, *options, "--state-dir", str(stack.state))
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


def remove(stack: Stack, name: str) -> None:
    assert sidecar("users", "remove", name, "--state-dir", str(stack.state)).returncode == 0


def status(stack: Stack, key: str) -> int:
    with stack.http(key=key) as http:
        return http.get("/v1/models").status_code


def seconds_until(condition: Callable[[], bool], what: str) -> float:
    began_s = time.monotonic()
    wait_until(condition, SEEN_S, what)
    return time.monotonic() - began_s


@pytest.mark.slow
def test_a_user_of_one_gateway_is_one_of_all_and_a_removed_one_is_refused_by_all(
    tmp_path: Path, provider: Provider, redis: RedisProcess
) -> None:
    """Also one that was removed while the store was down, and after FLUSHALL."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key-a").write_text(KEYS["key-a"])
    config = config_of(provider, redis, consumers=EVERYBODY)
    with Stack(tmp_path / "one", config, workers=1) as one:
        first = one.api_key
        wait_until(lambda: redis.ask("EXISTS", "{sidecar:default}users") == 1, SEEN_S, "the first user in the store")
        with Stack(tmp_path / "two", config, workers=1, front="envoy") as two:
            assert "SIDECAR_API_KEY" not in two.env, "it has users already, and makes no first one"
            assert status(two, first) == 200

            ann, bob = add(two, "ann"), add(one, "bob")
            added_s = seconds_until(lambda: status(one, ann) == 200 and status(two, bob) == 200, "the new users")
            remove(one, "ann")
            removed_s = seconds_until(lambda: status(one, ann) == status(two, ann) == 401, "the removal")
            newer = add(two, "bob", "--replace")
            seconds_until(lambda: status(one, newer) == 200 and status(one, bob) == 401, "the new password")
            stored = redis.ask("HGETALL", "{sidecar:default}users:documents")
            assert not any(b"SHA" in each for each in stored)

            redis.kill()
            remove(one, "bob")
            wait_until(lambda: one.metric("sidecar_users_waiting") == 1, SEEN_S, "the change that waits")
            assert status(one, newer) == 401
            redis.start()
            seconds_until(lambda: status(two, newer) == 401, "the removal, once the store is there")

            redis.ask("FLUSHALL")
            wait_until(lambda: redis.ask("EXISTS", "{sidecar:default}users") == 1, SEEN_S, "the users in the store")
            carl = add(two, "carl")
            seconds_until(lambda: status(one, carl) == 200, "a user after FLUSHALL")
            assert [status(each, key) for each in (one, two) for key in (first, ann, newer)] == [200, 401, 401] * 2
            assert {path.name for path in (one.state, two.state) for path in path.glob("users*")} == {"users"}
    print(f"added after {added_s:.2f} s, removed after {removed_s:.2f} s, on both gateways")


NAMES = ("ann", "bob")
STEPS = st.lists(
    st.tuples(st.sampled_from(("add", "remove", "compare", "flush")), st.integers(0, 2), st.sampled_from(NAMES)),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(steps=STEPS)
def test_gateways_agree_whatever_the_order_and_a_removal_that_all_have_seen_stays(
    steps: list[tuple[str, int, str]],
) -> None:
    files: list[dict[str, str]] = [{}, {}, {}]
    copies: list[dict[str, User]] = [{}, {}, {}]
    store: dict[str, User] = {}

    def compare(host: int) -> None:
        mine = edited(copies[host], files[host])
        both = {name: merged(mine.get(name), store.get(name)) for name in {*mine, *store}}
        copies[host] = {name: each for name, each in both.items() if each is not None}
        store.update(copies[host])
        files[host] = {name: each.line for name, each in copies[host].items() if each.line is not None}

    def compare_all() -> None:
        for host in (0, 1, 2, 0, 1):
            compare(host)

    for number, (step, host, name) in enumerate(steps):
        if step == "add":
            files[host][name] = f"{name}:{number}"
        elif step == "remove":
            files[host].pop(name, None)
        elif step == "flush":
            store.clear()
        else:
            compare(host)
    compare_all()
    assert files[0] == files[1] == files[2]
    files[0].pop("ann", None)
    compare_all()
    store.clear()
    compare(2)
    compare_all()
    assert all("ann" not in each for each in files)
