"""Every mode x streamed or not x entrance in x format x with or without a fallback, each cell with a route of its own.

CI takes so many cells that every mode, streamed and not, goes through every entrance, and fails in every format with and
without a fallback;
`make soak` takes them all.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from adapters import Kind, Task
from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import Admission, Limit, Price, Retries, Route, Snapshot, Timeouts, Upstream
from tests.faults.doors import ANSWER, EVENTS, JSON, Seen
from tests.faults.entrances import ENTRANCES, Entrance
from tests.faults.modes import ANSWER_BYTES_MAX, MODES, Mode
from tests.faults.pairs import pairwise
from tests.provider import Call, Provider, Reply, default_reply

KEY = "sk-canary-0123456789abcdefghijklmnop"
# The last is a provider of OpenAI's that is asked by Responses, whoever calls.
FORMATS = ("openai", "anthropic", "cohere", "responses")
PROVIDERS = {"responses": "openai"}
# Long for anything that is well, even on a loaded machine; waited for by all quiet cells at the same time.
QUIET = Timeouts(connect_s=4.0, first_output_s=4.0, idle_s=3.0, total_s=10.0)
RETRIES = Retries(budget=1, backoff_s=0.01)
# Kinds -> gRPC code, HTTP status and OpenAI's word, and what may be done about them: as in docs/reference/errors.md and
# docs/concepts/reliability.md. A provider's failure passes through every front as it is: docs/concepts/fronts.md names no
# difference in it.
CODES = {
    Kind.INVALID_REQUEST: ("INVALID_ARGUMENT", 400, "invalid_request_error"),
    Kind.REQUEST_TOO_LARGE: ("INVALID_ARGUMENT", 413, "invalid_request_error"),
    Kind.RATE_LIMITED: ("RESOURCE_EXHAUSTED", 429, "rate_limit_error"),
    Kind.QUOTA_EXHAUSTED: ("RESOURCE_EXHAUSTED", 429, "insufficient_quota"),
    Kind.UPSTREAM_TIMEOUT: ("DEADLINE_EXCEEDED", 504, "api_error"),
    Kind.UPSTREAM_UNAVAILABLE: ("UNAVAILABLE", 503, "api_error"),
    Kind.UPSTREAM_REJECTED_CREDENTIALS: ("FAILED_PRECONDITION", 424, "api_error"),
    Kind.UPSTREAM_NOT_FOUND: ("FAILED_PRECONDITION", 424, "api_error"),
    Kind.UPSTREAM_PROTOCOL: ("INTERNAL", 502, "api_error"),
    Kind.UPSTREAM_INTERRUPTED: ("UNAVAILABLE", 502, "api_error"),
}
# What is another status or word for callers of Messages, as docs/reference/agents.md has it.
MESSAGES = {
    Kind.REQUEST_TOO_LARGE: (413, "request_too_large"),
    Kind.QUOTA_EXHAUSTED: (402, "billing_error"),
    Kind.UPSTREAM_TIMEOUT: (504, "timeout_error"),
}
# Of each call that is settled, whatever it was: once is this, twice is more.
CALL_MICRO_DOLLARS = 7
PASSING = frozenset({Kind.RATE_LIMITED, Kind.UPSTREAM_UNAVAILABLE})
ONLY_THE_REQUESTS = frozenset({Kind.INVALID_REQUEST, Kind.REQUEST_TOO_LARGE})


@dataclass(frozen=True, slots=True)
class Cell:
    """One call and what is to come of it."""

    number: int
    mode: Mode
    streamed: bool
    entrance: Entrance
    format: str
    fallback: bool

    @property
    def route(self) -> str:
        return f"cell-{self.number}"

    @property
    def kind(self) -> Kind | None:
        """What the first upstream's answer means."""
        return self.mode.stream if self.streamed else self.mode.unary

    @property
    def in_band(self) -> bool:
        return self.streamed and self.mode.interrupts

    @property
    def falls_back(self) -> bool:
        return self.fallback and self.kind is not None and not self.in_band and self.kind not in ONLY_THE_REQUESTS

    @property
    def failure(self) -> Kind | None:
        """What the caller hears."""
        return None if self.falls_back else self.kind

    @property
    def attempts(self) -> int:
        """At the first upstream."""
        again = self.kind in PASSING and not self.in_band and not self.fallback and not self.mode.waits
        return 2 if again else 1

    @property
    def provider_calls(self) -> int:
        return self.attempts if self.mode.where == "provider" else 0

    @property
    def spent(self) -> int:
        """Micro-dollars: what has produced something is charged."""
        produced = self.failure is None or self.in_band
        return CALL_MICRO_DOLLARS if produced else 0

    @property
    def name(self) -> str:
        words = (self.mode.id, "stream" if self.streamed else "unary", str(self.entrance), self.format)
        return ", ".join(words) + self.fallback * ", with a fallback"


# What goes together in one value of an axis is crossed in full, so that pairs of these are triples of single ones.
CASES = tuple(itertools.product(MODES, (False, True)))
TARGETS = tuple(itertools.product(FORMATS, (False, True)))


def paired() -> list[Cell]:
    """The cells of CI: every (mode, streamed, entrance), (mode, streamed, format, fallback) and (entrance, format, fallback)."""
    return _numbered(pairwise((CASES, ENTRANCES, TARGETS)))


def full() -> list[list[Cell]]:
    """All cells, in parts that one worker can have as routes."""
    return [_numbered(itertools.product(CASES, ENTRANCES, (target,))) for target in TARGETS]


def _numbered(rows: Iterable[Sequence[Any]]) -> list[Cell]:
    return [
        Cell(number, mode, streamed, entrance, format_, fallback)
        for number, ((mode, streamed), entrance, (format_, fallback)) in enumerate(rows)
    ]


def snapshot(all_cells: list[Cell], addresses: dict[str, str], well: Provider) -> Snapshot:
    """`addresses`: Mode.where -> root URL. Each route has one place: a call that kept it would be the last."""
    return Snapshot({cell.route: _route(cell, addresses[cell.mode.where], well) for cell in all_cells}, "0" * 12)


def _route(cell: Cell, root_url: str, well: Provider) -> Route:
    upstreams = [_upstream(cell.format, root_url, cell.route)]
    if cell.fallback:  # in the other format
        other = FORMATS[(FORMATS.index(cell.format) + 1) % len(FORMATS)]
        upstreams.append(replace(_upstream(other, well.root_url, cell.route), name="spare"))
    timeouts = QUIET if cell.mode.quiet else Timeouts()
    return Route(
        cell.route, Task.CHAT, tuple(upstreams), timeouts, ANSWER_BYTES_MAX, retries=RETRIES,
        admission=Admission(1), limits=(Limit("concurrent", 1),),
    )  # fmt: skip


def _upstream(format_: str, root_url: str, model: str) -> Upstream:
    provider = PROVIDERS.get(format_, format_)
    base_url = f"{root_url}/v1" if provider == "openai" else root_url
    options = {"chat_api": "responses"} if format_ == "responses" else {}
    price = Price(0, 0, call=CALL_MICRO_DOLLARS)
    return Upstream(provider, model, base_url, Secret(KEY), options=options, price=price)


def healthy(call: Call) -> Reply:
    """On a connection of its own, so that no call finds a kept one."""
    return replace(default_reply(call, call.json), then_close="announced")


def script(all_cells: list[Cell]) -> Callable[[Call], Reply]:
    """Each call is answered as its model's cell says."""
    modes = {cell.route: cell.mode for cell in all_cells}

    def reply(call: Call) -> Reply:
        played = modes[call.json["model"]].reply(call, healthy(call))
        return played if played.then_close else replace(played, then_close="announced")

    return reply


@dataclass(slots=True)
class Verdict:
    """What was wrong with a cell; empty where nothing was."""

    cell: Cell
    wrong: list[str] = field(default_factory=list)

    def same(self, what: str, seen: object, wanted: object) -> None:
        if seen != wanted:
            self.wrong.append(f"{what} {seen!r}, not {wanted!r}")


def judge(cell: Cell, seen: Seen) -> Verdict:
    """By what the caller saw alone."""
    verdict = Verdict(cell, [*seen.wrong])
    failure, typed = cell.failure, cell.entrance.typed
    code, status, type_ = CODES[failure] if failure is not None else ("OK", 200, None)
    if failure is not None and cell.entrance.door == "messages":
        status, type_ = MESSAGES.get(failure, (status, type_))
        if cell.mode.overloads(cell.format, cell.streamed):
            status, type_ = 529 if cell.mode.id == "status 529" else status, "overloaded_error"
    verdict.same("code", seen.code, code if typed else 200 if cell.in_band else status)
    verdict.same("in-band", seen.in_band, failure is not None and cell.in_band)
    if failure is None or typed:  # over REST the provider's own word stands there where it has one
        verdict.same("kind", seen.kind, failure.value if failure else None)
    if not typed:
        if not (cell.in_band and cell.entrance.door == "responses"):  # its event has a code and no type
            verdict.same("type", seen.type, type_)
        verdict.same("media", seen.media, EVENTS if cell.streamed and (cell.in_band or not failure) else JSON)
    if failure is None:
        verdict.same("upstream", seen.upstream, "spare" if cell.falls_back else PROVIDERS.get(cell.format, cell.format))
        verdict.same("words", seen.words, ANSWER)
    else:
        _judge_failure(verdict, seen, status)
    if KEY[:12] in seen.text:
        verdict.wrong.append("the key was shown")
    return verdict


def _judge_failure(verdict: Verdict, seen: Seen, status: int) -> None:
    cell = verdict.cell
    if not seen.kind:
        verdict.wrong.append("no code")
    if cell.in_band:
        if not seen.words or not ANSWER.startswith(seen.words):
            verdict.wrong.append(f"words {seen.words!r}")
    elif cell.entrance.typed or status >= 424:
        again = cell.failure in PASSING and cell.mode.waits and not cell.fallback
        verdict.same("may retry", seen.should_retry, again)
