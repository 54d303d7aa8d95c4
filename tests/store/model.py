"""What the script should answer and keep, in whole numbers of Python: rates by sidecar.limits.gcra on absolute nanoseconds, days
and months by the standard library. It knows nothing of the script's text."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sidecar.limits import gcra

DAY_US = 86_400 * 10**6
_BUCKET_NS_MAX = 2**52


@dataclass(frozen=True)
class Rule:
    """`kind` r, t: count in a window; d, m: micro-dollars; c: count at once."""

    kind: str
    name: str
    count: int
    per_s: int = 0

    @property
    def rate(self) -> gcra.Rate:
        return gcra.rate_of(self.count, self.per_s)

    @property
    def flat(self) -> tuple[str, str, int, int]:
        if self.kind in "rt":
            return self.kind, self.name, self.rate.interval_ns, self.rate.window_ns
        return self.kind, self.name, self.count, 0


def period(kind: str, now_us: int) -> int:
    moment = datetime.fromtimestamp(now_us // 10**6, UTC)
    return now_us // DAY_US if kind == "d" else (moment.year - 1970) * 12 + moment.month - 1


def until_reset_us(kind: str, now_us: int) -> int:
    midnight = datetime.fromtimestamp(now_us // 10**6, UTC).replace(hour=0, minute=0, second=0)
    ends = midnight + timedelta(days=1)
    if kind == "m":
        ends = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
    return int(ends.timestamp()) * 10**6 - now_us


Taken = list[tuple[Rule, int]]


@dataclass
class Model:
    now_us: int
    arrivals_ns: dict[str, int] = field(default_factory=dict)
    spent: dict[tuple[str, int], int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    places: dict[str, dict[str, int]] = field(default_factory=dict)
    open: dict[str, tuple[int, Taken]] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    rows: list[str] = field(default_factory=list)
    above: int = 0  # money that no hold covered: the only thing that may overdraw a budget

    @property
    def now_ms(self) -> int:
        return self.now_us // 1000

    def expire(self, most: int) -> int:
        due = sorted((until, id_) for id_, (until, _) in self.open.items() if until <= self.now_ms)[:most]
        for _, id_ in due:
            self._book(id_, self.open.pop(id_)[1], 0, 0, 0)
            self.rows.append(id_)
        return len(due)

    def admit(self, id_: str, ttl_ms: int, tokens: int, micro: int, rules: list[Rule]) -> list[int]:
        if id_ in self.open:
            return [1, 0, 0, 0]
        if id_ in self.settled:
            return [3]
        answer, taken, arrivals = self._ask(tokens, micro, rules)
        while not answer[0] and self.expire(200):
            answer, taken, arrivals = self._ask(tokens, micro, rules)
        if answer[0]:
            self.arrivals_ns |= arrivals
            for rule, cost in taken:
                if rule.kind == "c":
                    self.places.setdefault(rule.name, {})[id_] = self.now_ms + ttl_ms
                elif rule.kind in "dm":
                    self.held[rule.name] = self.held.get(rule.name, 0) + cost
            self.open[id_] = (self.now_ms + ttl_ms, taken)
        return answer

    def settle(self, id_: str, requests: int, tokens: int, micro: int, row: bool, rules: list[Rule]) -> list[int]:
        if id_ in self.settled:
            return [2]
        self.settled.add(id_)
        held = self.open.pop(id_, None)
        if held is not None:
            covered = max((cost for rule, cost in held[1] if rule.kind in "dm"), default=micro)
            self.above += max(0, micro - covered)
            self._book(id_, held[1], requests, tokens, micro)
        elif requests or tokens or micro:
            self.above += micro
            self._book(id_, [(rule, 0) for rule in rules], requests, tokens, micro)
        if row:
            self.rows.append(id_)
        return [4 if held is None else 1]

    def renew(self, id_: str, ttl_ms: int) -> list[int]:
        if id_ not in self.open:
            return [0]
        until = self.now_ms + ttl_ms
        self.open[id_] = (until, self.open[id_][1])
        for places in self.places.values():
            if id_ in places:
                places[id_] = until
        return [1]

    def _book(self, id_: str, taken: Taken, requests: int, tokens: int, micro: int) -> None:
        now_ns = self.now_us * 1000
        for rule, cost in taken:
            if rule.kind == "c":
                self.places.get(rule.name, {}).pop(id_, None)
            elif rule.kind in "dm":
                key = (rule.name, period(rule.kind, self.now_us))
                self.spent[key] = self.spent.get(key, 0) + micro
                self.held[rule.name] = max(0, self.held.get(rule.name, 0) - cost)
            elif (used := tokens if rule.kind == "t" else requests) != cost:
                arrival = gcra.settle(self.arrivals_ns.get(rule.name, now_ns), used - cost, rule.rate)
                self.arrivals_ns[rule.name] = min(arrival, now_ns + _BUCKET_NS_MAX)

    def _ask(self, tokens: int, micro: int, rules: list[Rule]) -> tuple[list[int], Taken, dict[str, int]]:
        first = wait_us = depends = 0
        taken: Taken = []
        arrivals: dict[str, int] = {}
        for number, rule in enumerate(rules, 1):
            wait: int | None = None
            if rule.kind in "rt":
                cost = tokens if rule.kind == "t" else 1
                found = gcra.take(self.arrivals_ns.get(rule.name, 0), self.now_us * 1000, cost, rule.rate)
                cost, arrivals[rule.name] = min(cost, rule.count), found.tat_ns
                if not found.allowed:
                    wait = -(-found.retry_after_ns // 1000)
            elif rule.kind == "c":
                cost = 1
                if sum(until > self.now_ms for until in self.places.get(rule.name, {}).values()) >= rule.count:
                    wait, depends = 0, max(depends, 1)
            else:
                cost = micro
                wait, why = self._ask_budget(rule, micro)
                depends = max(depends, why)
            taken.append((rule, cost))
            if wait is not None:
                first, wait_us = first or number, max(wait_us, wait)
        return [0 if first else 1, first, wait_us, depends], taken, arrivals

    def _ask_budget(self, rule: Rule, micro: int) -> tuple[int | None, int]:
        spent = self.spent.get((rule.name, period(rule.kind, self.now_us)), 0)
        held = self.held.get(rule.name, 0)
        if spent + held + micro <= rule.count and spent + held < rule.count:
            return None, 0
        if micro > rule.count:
            why = 2
        elif spent + micro <= rule.count and spent < rule.count:
            return 0, 1
        else:
            why = int(held + micro > rule.count or held >= rule.count)
        spent_out = spent + micro > rule.count or spent >= rule.count
        return (until_reset_us(rule.kind, self.now_us) if spent_out else 0), why
