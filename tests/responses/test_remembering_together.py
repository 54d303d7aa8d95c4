"""Two gateways, one behind each front, that remember in one Redis: an answer of one is gone on from, read and deleted at the
other; and what callers get while that Redis is away or has lost everything."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sidecar.identity.users import add_user, api_key
from tests.processes import wait_until
from tests.provider import Provider
from tests.responses.conftest import config
from tests.responses.test_door import PATH, sdk
from tests.stack.stack import Stack
from tests.store.servers import RedisProcess

pytestmark = pytest.mark.slow
CANARY = "what-nobody-may-read-4711"
KEY = "0123456789abcdef" * 4


def together(simulator: Provider, redis: RedisProcess) -> str:
    remembering = "responses: {remember: 1h, encryption_key: $KEY_OF_TEST}\n"
    return config(simulator, remembering) + f"store: {{redis: {{url: '{redis.url}'}}, timeout: 5s}}\n"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    with RedisProcess("8.2", tmp_path_factory.mktemp("redis") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def gateways(
    simulator: Provider, redis: RedisProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, Stack]]:
    """With the same users: whoever calls is the same consumer at both."""
    text, env = together(simulator, redis), {"KEY_OF_TEST": KEY}
    folders = [tmp_path_factory.mktemp(front) for front in ("nginx", "envoy")]
    one = Stack(folders[0], text, workers=2, env=env)
    two = Stack(folders[1], text, workers=1, env=env, front="envoy")
    with one as first, two as second:
        (second.state / "users").write_bytes((first.state / "users").read_bytes())
        second.env["SIDECAR_API_KEY"] = first.api_key
        with second.http() as http:
            wait_until(lambda: http.get("/v1/models").status_code == 200)
        yield first, second


def create(stack: Stack, **members: Any) -> httpx.Response:
    with stack.http() as http:
        return http.post(PATH, json={"model": "chat", **members})


def test_an_answer_of_one_is_gone_on_from_read_and_deleted_at_the_other(
    gateways: tuple[Stack, Stack], simulator: Provider
) -> None:
    one, two = gateways
    first = create(one, input="one").json()
    streamed = create(two, input="two", previous_response_id=first["id"], stream=True)
    assert streamed.status_code == 200, streamed.text
    second = sdk_retrieved(one, [line for line in streamed.text.splitlines() if '"response.completed"' in line])
    create(one, input="three", previous_response_id=second)
    texts = [message["content"] for message in simulator.calls[-1].json["messages"]]
    assert [texts[0], texts[2], texts[4]] == ["one", "two", "three"]
    with two.http() as http:
        assert http.get(f"{PATH}/{first['id']}").json() == first
        items = http.get(f"{PATH}/{second}/input_items", params={"order": "asc"}).json()["data"]
        assert [item["role"] for item in items] == ["user", "assistant", "user"]
    bob = api_key("bob", add_user(two.state / "users", "bob"))
    with two.http(key=bob) as http:
        wait_until(lambda: http.get("/v1/models").status_code == 200)
        assert http.get(f"{PATH}/{first['id']}").status_code == 404
        assert http.delete(f"{PATH}/{first['id']}").status_code == 404
    with two.http() as http:
        assert http.delete(f"{PATH}/{first['id']}").json()["deleted"]
    with one.http() as http:
        assert http.get(f"{PATH}/{first['id']}").status_code == 404
    error = create(one, input="four", previous_response_id=second).json()["error"]
    assert (error["param"], error["code"]) == ("previous_response_id", "previous_response_not_found")


def sdk_retrieved(stack: Stack, completed: list[str]) -> str:
    """The id of the streamed answer, which the other gateway knows by now."""
    id_ = completed[-1].partition('"id":"')[2].partition('"')[0]
    with sdk(stack) as client:
        assert client.responses.retrieve(id_).status == "completed"
    return id_


def test_nothing_of_it_is_in_the_store_the_logs_or_the_files(
    gateways: tuple[Stack, Stack], redis: RedisProcess
) -> None:
    assert create(gateways[0], input=CANARY).json()["store"]
    written = b"".join(redis.ask("DUMP", key) for key in redis.ask("KEYS", "*"))
    for word in (CANARY, KEY):
        assert word.encode() not in written
        assert not any(word in each.log for each in gateways)
        files = [path for each in gateways for path in each.state.rglob("*") if path.is_file()]
        assert [path for path in files if word.encode() in path.read_bytes()] == []
    assert not any(path.name.startswith("responses.") for path in files)


def test_while_the_store_is_away_answers_say_that_they_are_not_kept_and_old_ones_are_refused_by_name(
    gateways: tuple[Stack, Stack], redis: RedisProcess
) -> None:
    one, two = gateways
    first = create(one, input="one").json()
    redis.kill()
    for each in gateways:
        answered = create(each, input="one")
        assert (answered.status_code, answered.json()["store"]) == (200, False)
        for streamed in (False, True):
            refused = create(each, input="two", previous_response_id=first["id"], stream=streamed)
            error = refused.json()["error"]
            assert (refused.status_code, error["code"]) == (503, "store_unavailable")
            assert "send the whole conversation" in error["message"]
            assert refused.headers["retry-after"] == "1"
        with each.http() as http:
            assert http.get(f"{PATH}/{first['id']}").status_code == 503
            assert http.delete(f"{PATH}/{first['id']}").status_code == 503
    redis.start()
    wait_until(lambda: create(two, input="two", previous_response_id=first["id"]).status_code == 200)
    wait_until(lambda: create(one, input="one").json()["store"])


def test_after_the_store_lost_everything_callers_send_the_conversation_and_go_on(
    gateways: tuple[Stack, Stack], redis: RedisProcess
) -> None:
    one, two = gateways
    first = create(one, input="one").json()
    redis.ask("FLUSHALL")
    refused = create(two, input="two", previous_response_id=first["id"])
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "previous_response_not_found")
    again = create(two, input=[{"role": "user", "content": "one"}, *first["output"], {"role": "user", "content": "2"}])
    assert create(one, input="three", previous_response_id=again.json()["id"]).status_code == 200


def test_a_store_without_a_key_is_refused_before_anything_starts(
    simulator: Provider, redis: RedisProcess, tmp_path: Path
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(together(simulator, redis).replace(", encryption_key: $KEY_OF_TEST", ""))
    command = [sys.executable, "-m", "sidecar", "check", str(file)]
    found = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert found.returncode != 0
    assert "responses.encryption_key: is missing, and there is a `store`" in found.stdout + found.stderr
