"""The counts of one run, read from every place where calls, tokens and money are counted, and what does not add up."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.spend.archive import FILE_NAME, read_since
from sidecar.spend.ledger import COUNTERS
from sidecar.telemetry.metrics import UNKNOWN_ROUTE
from tests.endurance.traffic import INPUT_PRICE, OUTPUT_PRICE, Seen
from tests.provider import Provider
from tests.stack.seen import Page

_EVER = "2000-01-01"
# A fallback's model is called after its route.
_SPARE = "-spare"
_NO_ROUTE = "none"
Calls = Counter[tuple[str, str]]  # (route, outcome)
ByRoute = Counter[str]


@dataclass(frozen=True, slots=True)
class Accounts:
    """`page` as it was after the last call, `lines` of the access log, `spend`: what the database holds, by route and column."""

    seen: list[Seen]
    page: Page
    lines: list[dict[str, Any]]
    spend: dict[str, Counter[str]]
    provider_calls: ByRoute  # at the provider

    def drifts(self) -> list[str]:
        """What does not add up, in words; empty where all does."""
        found: list[str] = []
        clients: Calls = Counter((each.route, each.outcome) for each in self.seen)
        core = self._of_page("sidecar_requests_total", "route", "outcome")
        log: Calls = Counter((line["route"], line["outcome"]) for line in self.lines)
        _compare(found, "calls, by the core", clients, core)
        _compare(found, "calls, by the log", clients, log)
        self._attempts(found)
        self._tokens(found)
        self._money(found)
        return found

    def _attempts(self, found: list[str]) -> None:
        """The provider's calls less retries and fallbacks are the callers' that got as far as a provider."""
        real = self.provider_calls.total()
        again = Counter(self._by_route("sidecar_retries_total")) + Counter(self._by_route("sidecar_fallbacks_total"))
        refused = ("rate_limited", "route_not_found")
        calls = Counter(each.route for each in self.seen if each.outcome not in refused)
        _compare(found, "provider calls, by callers and further attempts", self.provider_calls, calls + again)
        logged: ByRoute = Counter()
        for line in self.lines:
            logged[line["route"]] += line["attempts"]
        resent = self.page.total("sidecar_retries_total", reason="stale_connection")
        counted = self.page.total("sidecar_upstream_requests_total") + resent
        if counted != real:
            found.append(f"provider calls, by the core: {counted:.0f}, not {real}")
        if logged.total() + resent != real:
            found.append(f"provider calls, by the log: {logged.total() + resent:.0f}, not {real}")

    def _tokens(self, found: list[str]) -> None:
        estimated = Counter(self._by_route("sidecar_estimated_tokens_total"))
        _compare(found, "estimated tokens, by the database", estimated, self._column("estimated_tokens"))
        exact = {route for route in self.spend if not estimated[route]}
        for kind in ("input", "output"):
            word = f"{kind}_tokens"
            clients: ByRoute = Counter()
            log: ByRoute = Counter()
            for each in self.seen:
                clients[each.route] += getattr(each, word)
            for line in self.lines:
                log[line["route"]] += line.get(word, 0)
            _compare(found, f"{word}, by the core", clients, Counter(self._by_route("sidecar_tokens_total", kind=kind)))
            _compare(found, f"{word}, by the log", clients, log)
            spent = Counter({route: count for route, count in self._column(word).items() if route in exact})
            _compare(found, f"{word}, by the database", clients, spent)
        for route in self.spend.keys() - exact:
            both = self.spend[route]["input_tokens"] + self.spend[route]["output_tokens"]
            if both != estimated[route]:
                found.append(f"tokens of {route}, by the database: {both}, not the {estimated[route]} estimated ones")

    def _money(self, found: list[str]) -> None:
        clients: ByRoute = Counter()
        for route, spent in self.spend.items():
            if spent["estimated_tokens"]:  # nobody told the caller: what the tokens cost that were written down
                clients[route] = spent["input_tokens"] * INPUT_PRICE + spent["output_tokens"] * OUTPUT_PRICE
        for each in self.seen:
            clients[each.route] += each.input_tokens * INPUT_PRICE + each.output_tokens * OUTPUT_PRICE
        _compare(found, "money, by the database", clients, self._column("micro_dollars"))
        _compare(found, "money, by the core", clients, Counter(self._by_route("sidecar_spend_micro_dollars_total")))
        charged = Counter(each.route for each in self.seen if each.outcome == "ok" or each.route in ("cut", "held"))
        _compare(found, "charged calls, by the database", charged, self._column("calls"))

    def _column(self, name: str) -> ByRoute:
        return Counter({route: counts[name] for route, counts in self.spend.items()})

    def _of_page(self, name: str, *labels: str) -> Calls:
        sums: Calls = Counter()
        for (found, has), value in self.page.samples.items():
            if found == name:
                words = dict(has)
                route = _NO_ROUTE if words["route"] == UNKNOWN_ROUTE else words["route"]
                sums[route, words[labels[-1]]] += int(value)
        return sums

    def _by_route(self, name: str, **labels: str) -> dict[str, int]:
        sums: dict[str, int] = {}
        for (found, has), value in self.page.samples.items():
            words = dict(has)
            if found == name and labels.items() <= words.items():
                sums[words["route"]] = sums.get(words["route"], 0) + int(value)
        return sums


def _compare(found: list[str], what: str, real: Counter[Any], counted: Counter[Any]) -> None:
    for key in sorted(real.keys() | counted.keys(), key=str):
        if real[key] != counted[key]:
            found.append(f"{what}, {key}: {counted[key]}, not {real[key]}")


def read_lines(output: str) -> list[dict[str, Any]]:
    """The access log's calls, of what a gateway said."""
    found = [json.loads(line) for line in output.splitlines() if line.startswith('{"time"')]
    return [line for line in found if line["message"] == "call"]


def read_spend(state: Path) -> dict[str, Counter[str]]:
    """Of all days and consumers, by route and column. After the gateway's end all is there."""
    spend: dict[str, Counter[str]] = {}
    for line in read_since(state / FILE_NAME, _EVER):
        spend.setdefault(line.route, Counter()).update(dict(zip(COUNTERS, line.counts, strict=True)))
    return {route: counts for route, counts in spend.items() if any(counts.values())}


def read_provider_calls(providers: Iterable[Provider]) -> ByRoute:
    return Counter(call.json["model"].removesuffix(_SPARE) for provider in providers for call in provider.calls)
