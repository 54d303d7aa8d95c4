"""`store:` names a Redis or Valkey; what cannot be one is refused with its line and what to write."""

from __future__ import annotations

import pytest

from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import Limit, PostgresServer, RedisServer, SharedStore
from tests.config.loading import loaded, problems, route


def store(text: str) -> str:
    return route() + f"store: {{redis: {{{text}}}}}\n"


def server(text: str) -> RedisServer:
    found = loaded(store(text)).store
    assert found is not None
    return found.redis


def test_without_the_section_there_is_no_store() -> None:
    assert loaded(route()).store is None


def test_every_key_is_read() -> None:
    text = "store:\n  redis: {url: 'rediss://h:7000/3', username: gateway, password: $PASSWORD}\n"
    found = loaded(route() + text + "  timeout: 80ms\n  installation: eu\n", PASSWORD="secret").store
    redis = RedisServer((("h", 7000),), 3, True, username="gateway", password=Secret("secret"))
    assert found == SharedStore(redis, 0.08, "eu")


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("url: redis://h", (("h", 6379),)),
        ("url: 'redis://[::1]:7'", (("::1", 7),)),
        ("url: unix:///run/redis.sock", (("/run/redis.sock", 0),)),
        ("url: 'redis://a,b:1', cluster: true", (("a", 6379), ("b", 1))),
        ("url: 'redis://a,b', sentinel: mine", (("a", 26379), ("b", 26379))),
    ],
)
def test_addresses(text: str, addresses: tuple[tuple[str, int], ...]) -> None:
    assert server(text).addresses == addresses


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("url: http://h", "rediss://host:6379"),
        ("url: 'redis://user:pass@h'", "contains a password"),
        ("url: redis://h/zero", "does not end in a database number"),
        ("url: 'redis://h:99999'", "contains an invalid address"),
        ("url: 'redis://a,b'", "cluster: true"),
        ("url: redis://h/2, cluster: true", "one database"),
        ("url: redis://h, cluster: true, sentinel: mine", "cannot be both"),
        ("url: redis://h, username: u", "a username requires a password"),
        ("url: unix:///s, sentinel: mine", "unix socket"),
        ("username: u", "is missing"),
    ],
)
def test_what_is_no_store_is_refused(text: str, words: str) -> None:
    found = problems(store(text))
    assert any("store.redis" in each for each in found)
    assert any(words in each for each in found), found


def test_a_password_in_the_address_is_not_shown() -> None:
    assert not any("hunter2" in each for each in problems(store("url: 'redis://:hunter2@h'")))


def test_a_limit_and_a_budget_say_what_holds_without_the_store() -> None:
    text = "limits: [{requests: 1, per: day, when_unavailable: deny}, {concurrent: 1}]\n"
    found = loaded(route(text + "budgets: [{dollars: 1, per: day, when_unavailable: local_share}]")).routes["chat"]
    assert found.limits == (Limit("requests", 1, 86_400, when_unavailable="deny"), Limit("concurrent", 1))
    assert found.limits[1].when_unavailable == "local_share"
    assert found.budgets[0].when_unavailable == "local_share"


def archive(text: str) -> str:
    return route() + f"store: {{redis: {{url: redis://h}}, archive: {text}}}\n"


def postgres(text: str) -> PostgresServer:
    found = loaded(archive(text), DB="secret").store
    assert found is not None
    assert found.archive is not None
    return found.archive


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("'postgres://me@db:7000/spend'", PostgresServer("db", 7000, "spend", "me")),
        ("postgresql://db/spend", PostgresServer("db", 5432, "spend")),
        ("'postgres://db/spend?sslmode=disable'", PostgresServer("db", 5432, "spend", tls=False)),
        ("postgres://127.0.0.1/spend", PostgresServer("127.0.0.1", 5432, "spend", tls=False)),
        ("'postgres://[::1]/spend?sslmode=verify-full'", PostgresServer("::1", 5432, "spend", tls=True)),
        ("'postgres:///spend?host=/run/pg'", PostgresServer("/run/pg", 5432, "spend", tls=False)),
        ("{url: 'postgres://a%40b@db/my%20db'}", PostgresServer("db", 5432, "my db", "a@b")),
        (
            "{url: postgres://db/spend, username: me, password: $DB, keep_rows: 7d}",
            PostgresServer("db", 5432, "spend", "me", Secret("secret"), rows_kept_s=604_800.0),
        ),
    ],
)
def test_an_archive_is_a_url_or_a_section(text: str, server: PostgresServer) -> None:
    assert postgres(text) == server


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mysql://db/spend", "not the URL of a Postgres"),
        ("postgres://db", "names no database"),
        ("'postgres://db/a/b'", "names no database"),
        ("'postgres://db:port/spend'", "not a URL"),
        ("'postgres://me:hunter2@db/spend'", "has a password in it"),
        ("'postgres://db/spend?sslmode=require'", "verify-full"),
        ("'postgres://db/spend?options=-c'", "has options besides"),
        ("'postgres:///spend?host=pg'", "no folder of a unix socket"),
        ("{username: me}", "is missing"),
        ("{url: postgres://db/spend, keep_rows: 1h}", "from 172800s to 3660d"),
        ("{url: postgres://db/spend, keep: 7d}", "keep"),
        ("[postgres://db/spend]", "expected text"),
    ],
)
def test_what_is_no_archive_is_refused(text: str, words: str) -> None:
    found = problems(archive(text))
    assert any("store.archive" in each for each in found)
    assert any(words in each for each in found), found
    assert not any("hunter2" in each for each in found)
