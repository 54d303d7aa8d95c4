"""Any interleaving of admissions, settles, releases, expiry, renewals and lost answers, over hosts: the script answers and keeps
what a model in whole numbers does. Planted faults in the script are found by the same walks."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import hiredis
import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sidecar.store import operations
from sidecar.store.operations import SCRIPT
from tests.scale import SCALE
from tests.store.model import Model, Rule, period
from tests.store.servers import RELEASES, Client, RedisProcess

CLOCK = b"local clock = call('TIME')"
STEPPED = SCRIPT.replace(CLOCK, b"local clock = {ARGV[#ARGV - 1], ARGV[#ARGV]} ARGV[#ARGV] = nil ARGV[#ARGV] = nil")
PREFIX = b"{sidecar:law}1:"
# Ten seconds before a day and a month end.
START_US = int(datetime(2026, 11, 30, 23, 59, 50, tzinfo=UTC).timestamp()) * 10**6
DAY, MONTH = 5_000, 900_000
POOL = [
    Rule("r", "g:few", 10, 60),
    Rule("r", "g:often", 7, 1),
    Rule("t", "g:tokens", 900_000, 86_400),
    Rule("t", "g:many", 40_000_001, 30 * 86_400),
    Rule("d", "b:day", DAY),
    Rule("m", "b:month", MONTH),
    Rule("c", "c:three", 3),
]
# What is found in the script, and what a mistake would have there.
FAULTS = {
    "a settle that comes twice counts twice": (
        b"if call('SETBIT', page, bit, 1) == 1 then",
        b"if call('SETBIT', page, bit, 1) == 9 then",
    ),
    "what expires is not given back": (b"book(cmsgpack.unpack(taken), id, 0, 0, 0)", b""),
    "an admission takes after its release": (b"if call('GETBIT', page, bit) == 1 then return {3} end", b""),
    "waits in milliseconds": (b"ceil((wanted - b) / 1000)", b"ceil((wanted - b) / 1000000) * 1000"),
    "nanoseconds since 1970": (
        b"format('%.0f %.0f', used, now)",
        b"format('%.0f %.0f', (now * 1000 + used) - now * 1000, now)",
    ),
    "what is reserved of a budget is not counted": (
        b"if spent + held + micro > a or spent + held >= a then",
        b"if spent + micro > a or spent >= a then",
    ),
    "a refusal takes some of it": (b"if answer[1] == 0 then return answer end", b""),
}


class Walk:
    """Steps of three hosts, each of them compared."""

    def __init__(self, client: Client, script: bytes, seed: int) -> None:
        self.chance = random.Random(seed)
        self.client = client
        self.model = Model(START_US)
        self.sha = hashlib.sha1(script, usedforsecurity=False).hexdigest()
        self.known: dict[str, tuple[bytes, int, int, int, list[Rule]]] = {}
        self.numbers = {host: self.chance.randrange(65_530, 65_540) for host in (b"one", b"two", b"three")}
        client.ask("FLUSHALL")
        client.ask("SCRIPT", "LOAD", script)
        client.ask("SET", PREFIX + b"epoch", "ready 1")

    def step(self) -> None:
        self.model.now_us += self.chance.choice((1, 37, 999, 20_000, 300_000, 300_000, 5_000_000))
        if self.chance.random() < 0.02:
            self.model.now_us += self.chance.choice((61, 3_600)) * 10**6
        kind = self.chance.random()
        if kind < 0.5 or not self.known:
            self.admit()
        elif kind < 0.9:
            self.settle()
        elif kind < 0.95:
            id_ = self.chance.choice(list(self.known))
            host, number, *_ = self.known[id_]
            self.send(operations.renew(host, number, 30_000), [], lambda: self.model.renew(id_, 30_000))
        else:
            self.release_before_admission()

    def admit(self) -> None:
        host = self.chance.choice(list(self.numbers))
        self.numbers[host] += 1
        number = self.numbers[host]
        rules = sorted(self.chance.sample(POOL, self.chance.randint(1, 5)), key=POOL.index)
        tokens, micro = self.chance.choice((1, 50, 700, 20_000)), self.chance.choice((0, 3, 250, 1_800, 6_000))
        ttl_ms = self.chance.choice((500, 30_000))
        id_ = f"{host.decode()}.{number}"
        words = operations.admit(host, number, tokens, micro, ttl_ms=ttl_ms)

        def expected() -> list[int]:
            return self.model.admit(id_, ttl_ms, tokens, micro, rules)

        answer = self.send(words, rules, expected)
        lost = self.chance.random() < 0.1
        if lost and self.chance.random() < 0.5:  # asked again, with the same number
            answer = self.send(words, rules, expected)
        if answer[0] or lost:  # a host that did not hear settles by the number all the same
            self.known[id_] = (host, number, tokens, micro, rules)

    def settle(self) -> None:
        id_ = self.chance.choice(list(self.known))
        host, number, tokens, micro, rules = self.known.pop(id_)
        if self.chance.random() < 0.05:
            return  # the host was killed: nobody settles it
        if self.chance.random() < 0.2:
            used = (0, 0, 0)
        else:
            more = self.chance.random() < 0.05
            used = (1, self.chance.randint(0, tokens * (3 if more else 1)), self.chance.randint(0, micro + 90 * more))
        row = b"row" if used[0] else b""
        words = operations.settle(host, number, *used, row)
        for _ in range(self.chance.choice((1, 1, 2, 3))):  # its answer was lost, or two workers send it
            self.send(words, rules, lambda: self.model.settle(id_, *used, bool(row), rules))

    def release_before_admission(self) -> None:
        self.numbers[b"one"] += 1
        number, rules = self.numbers[b"one"], POOL[:3]
        id_ = f"one.{number}"
        self.send(operations.release(b"one", number), rules, lambda: self.model.settle(id_, 0, 0, 0, False, rules))
        words = operations.admit(b"one", number, 1, 1)
        assert self.send(words, rules, lambda: self.model.admit(id_, 60_000, 1, 1, rules)) == [3]

    def send(self, words: bytes, rules: list[Rule], expected: Any) -> list[int]:
        self.model.expire(4)
        wanted = expected()
        flat = [value for rule in rules for value in rule.flat]
        seconds, micros = divmod(self.model.now_us, 10**6)
        answers = self.client.ask("EVALSHA", self.sha, 1, PREFIX, words, msgspec.msgpack.encode(flat), seconds, micros)
        found: list[int] = answers[0][:4]
        assert found == wanted, (words, found, wanted)
        return found

    def compare(self) -> None:
        """All that it keeps."""
        model = self.model
        for name, arrival_ns in model.arrivals_ns.items():
            if (text := self.client.ask("GET", PREFIX + name.encode())) is not None:
                used_ns, at_us = map(int, text.split())
                assert used_ns + at_us * 1000 == arrival_ns, name
        for rule in POOL:
            if rule.kind in "dm" and (text := self.client.ask("GET", PREFIX + rule.name.encode())) is not None:
                of, spent, held = map(int, text.split())
                assert (spent, held) == (model.spent.get((rule.name, of), 0), model.held.get(rule.name, 0))
                assert spent + held <= rule.count + model.above
        assert {id_.decode() for id_ in self.client.ask("HKEYS", PREFIX + b"open")} == set(model.open)
        members = self.client.ask("ZRANGE", PREFIX + b"c:three", 0, -1)
        assert {id_.decode() for id_ in members} == set(model.places.get("c:three", {}))

    def end(self) -> None:
        """Nothing leaks: when all has expired, nothing is held by anybody, and nothing was charged twice."""
        self.model.now_us += 61 * 10**6
        while self.model.open:
            self.send(b"t gateway", [], lambda: [1])
        self.compare()
        for rule in POOL:
            if rule.kind in "dm" and (text := self.client.ask("GET", PREFIX + rule.name.encode())) is not None:
                assert text.split()[2] == b"0", rule.name
        assert self.client.ask("ZCARD", PREFIX + b"due") == self.client.ask("ZCARD", PREFIX + b"c:three") == 0
        rows = [entry[1][1].decode().split() for entry in self.client.ask("XRANGE", PREFIX + b"ledger", "-", "+")]
        assert [row[0] for row in rows] == self.model.rows
        paid = [row[0] for row in rows if row[2] != "expired"]
        assert len(paid) == len(set(paid))

    def run(self, steps: int) -> None:
        for number in range(steps):
            self.step()
            if number % 20 == 0:
                self.compare()
        self.end()


@pytest.fixture(scope="module", params=RELEASES)
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with RedisProcess(request.param, tmp_path_factory.mktemp("law") / "redis", durable=False) as running:
        connection = Client(running.port)
        yield connection
        connection.close()


def test_the_clock_of_the_script_can_be_set() -> None:
    assert SCRIPT.count(CLOCK) == 1


@pytest.mark.timeout(300)
def test_every_answer_and_all_that_is_kept_is_the_models(client: Client) -> None:
    @settings(max_examples=max(25, int(250 * SCALE)), deadline=None, database=None, phases=[Phase.generate])
    @given(st.integers(0, 2**32))
    def walk(seed: int) -> None:
        Walk(client, STEPPED, seed).run(250)

    walk()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(client: Client, fault: str) -> None:
    old, new = FAULTS[fault]
    assert STEPPED.count(old) == 1, fault

    def walks() -> None:
        for seed in range(20):
            Walk(client, STEPPED.replace(old, new), seed).run(400)

    with pytest.raises((AssertionError, hiredis.ReplyError)):
        walks()


def test_days_and_months_are_the_calendars(client: Client) -> None:
    """The end of a month as the script has it, over two centuries."""
    client.ask("FLUSHALL")
    client.ask("SET", PREFIX + b"epoch", "ready 1")
    chance = random.Random(3)
    spent = msgspec.msgpack.encode(["m", "b:spent", 1, 0])
    for _ in range(300):
        year, month = chance.randrange(1971, 2170), chance.randrange(1, 13)
        day = date(year, month, chance.choice((1, 15, 28))).toordinal() - date(1970, 1, 1).toordinal()
        seconds = day * 86_400 + chance.randrange(86_400)
        text = client.ask("EVAL", STEPPED, 1, PREFIX, operations.admit(b"h", 1, 0, 2), spent, seconds, 0)[0]
        assert text[0] == 0
        client.ask("EVAL", STEPPED, 1, PREFIX, operations.settle(b"h", seconds, 1, 0, 5), spent, seconds, 0)
        of = int(client.ask("GET", PREFIX + b"b:spent").split()[0])
        assert of == period("m", seconds * 10**6)
        client.ask("DEL", PREFIX + b"b:spent")
        ends = date(year + month // 12, month % 12 + 1, 1).toordinal() - date(1970, 1, 1).toordinal()
        many = msgspec.msgpack.encode(["m", "b:full", 10, 0])
        client.ask("SET", PREFIX + b"b:full", f"{of} 10 0")
        wait_us = client.ask("EVAL", STEPPED, 1, PREFIX, operations.admit(b"h", 2, 0, 1), many, seconds, 0)[0][2]
        assert wait_us == (ends * 86_400 - seconds) * 10**6


def test_a_server_whose_clock_is_behind_still_says_true_waits(client: Client) -> None:
    """After a failover: the bucket goes on from what it was, by the new clock. A time of day would be half a minute more."""
    walk = Walk(client, STEPPED, 1)
    rule = msgspec.msgpack.encode(list(Rule("r", "g:one", 1, 6).flat))

    def ask(number: int, at_us: int) -> list[int]:
        words = operations.admit(b"h", number, 0, 0)
        answer: list[int] = client.ask("EVALSHA", walk.sha, 1, PREFIX, words, rule, *divmod(at_us, 10**6))[0]
        return answer

    assert ask(1, START_US)[0] == 1
    behind_us = START_US - 30 * 10**6
    _, _, wait_us, _, _ = refused = ask(2, behind_us)
    assert refused[0] == 0
    assert wait_us == 6 * 10**6
    assert ask(3, behind_us + wait_us - 1)[0] == 0
    assert ask(4, behind_us + wait_us)[0] == 1
