"""The moments at which a caller may leave: each with a route of its own, and a provider that stops there."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from tests.provider import Call, Gate, Provider, Reply, default_reply, error_reply
from tests.provider.reply import Framing
from tests.stack.stack import Stack

# Of a route: far more than the rounds use, and a period in which nothing that was used drains away meanwhile.
REQUESTS, TOKENS, DAYS = 10_000, 100_000, 31
CONCURRENT = 100
HOLDER = "the one that holds the place"
WORDS = "one two three four five six"
# "echo:" and six words: role, seven deltas, finish reason, usage, [DONE].
_ROLE, _FIRST, _LAST, _FINISH, _USAGE = 1, 2, 8, 9, 10
# Waited for by nobody to its end: the caller leaves meanwhile. Beyond it lies the default backoff_max of 8 s.
_BACK_OFF_S = 7
_Script = Callable[[Call, Gate], Reply]


@dataclass(frozen=True, slots=True)
class Moment:
    """`script` is what the provider answers; it stands at the gate when the moment has come. `calls` of the provider there are
    then, of which the last is the one to be closed (none in the queue; in the back-off it has ended). `started`: the caller has
    read something by then."""

    name: str
    streamed: bool
    script: _Script
    calls: int = 1
    started: bool = False
    queued: bool = False
    in_back_off: bool = False
    extra: str = ""

    @property
    def route(self) -> str:
        return self.name.replace(" ", "-").replace(",", "")

    @property
    def open_call(self) -> bool:
        """A socket of the provider's is to be closed."""
        return not (self.queued or self.in_back_off)


def _before_head(call: Call, gate: Gate) -> Reply:
    return replace(default_reply(call, call.json), before=gate)


def _after_events(count: int) -> _Script:
    def script(call: Call, gate: Gate) -> Reply:
        healthy = default_reply(call, call.json)
        return replace(healthy, parts=(*healthy.parts[:count], gate, *healthy.parts[count:]))

    return script


def _half_a_body(call: Call, gate: Gate) -> Reply:
    healthy = default_reply(call, call.json)
    (body,) = healthy.parts
    assert isinstance(body, bytes)
    return replace(healthy, parts=(body[:40], gate, body[40:]), framing=Framing.LENGTH)


def _after_failure(call: Call, gate: Gate) -> Reply:
    """The first upstream is down, the second one waits."""
    return _before_head(call, gate) if call.json["model"].endswith("-spare") else error_reply(call, 503, "down")


def _later(call: Call, gate: Gate) -> Reply:
    return error_reply(call, 429, "later", headers=(("retry-after", str(_BACK_OFF_S)),))


_QUEUE = "admission: {concurrent: 1, queue: 10, queue_time: 60s}"
MOMENTS = (
    *(
        moment
        for streamed, kind in ((False, "unary"), (True, "stream"))
        for moment in (
            Moment(f"{kind} in the queue", streamed, _before_head, 0, queued=True, extra=_QUEUE),
            Moment(f"{kind} in the back-off", streamed, _later, in_back_off=True),
            Moment(f"{kind} before the head", streamed, _before_head),
            Moment(f"{kind} at the fallback", streamed, _after_failure, 2, extra="fallback"),
        )
    ),
    Moment("unary within the body", False, _half_a_body),
    Moment("stream after the head", True, _after_events(0)),
    Moment("stream after the role", True, _after_events(_ROLE)),
    *(Moment(f"stream after {count - 1} words", True, _after_events(count), started=True) for count in range(_FIRST, _LAST)),
    Moment("stream after all words", True, _after_events(_LAST), started=True),
    Moment("stream after the finish reason", True, _after_events(_FINISH), started=True),
    Moment("stream before the end marker", True, _after_events(_USAGE), started=True),
)  # fmt: skip


def config(provider: Provider) -> str:
    lines = ["routes:"]
    for moment in MOMENTS:
        keys = f"provider: openai-compatible, config: {{base_url: {provider.base_url}, api_key: upstream-key}}"
        extra = moment.extra
        if extra == "fallback":
            patient = "breaker: {consecutive_failures: 100000, calls_min: 100000}"  # the first one is asked each time
            extra = f"fallbacks: [{{name: {moment.route}-spare, {keys}}}]\n    {patient}"
        limits = (f"{{requests: {REQUESTS}, per: {DAYS} days}}", f"{{tokens: {TOKENS}, per: {DAYS} days}}")
        lines += [
            f"  - name: {moment.route}",
            "    route_type: llm/v1/chat",
            f"    model: {{name: {moment.route}, {keys}}}",
            f"    limits: [{', '.join(limits)}, {{concurrent: {CONCURRENT}}}]",
            *([f"    {extra}"] if extra else []),
        ]
    return "\n".join(lines) + "\n"


def script(provider: Provider) -> Callable[[Call], Reply]:
    """Each call waits at the gate that is called like its route; whoever holds the place, at his own."""
    by_model = {model: moment for moment in MOMENTS for model in (moment.route, f"{moment.route}-spare")}

    def answer(call: Call) -> Reply:
        body = call.json
        moment = by_model[body["model"]]
        if HOLDER in call.body.decode():
            return replace(default_reply(call, body), before=provider.gate(HOLDER + moment.route))
        return moment.script(call, provider.gate(moment.route))

    return answer


# What of a request is written before its caller leaves; the front has not passed anything on then.
PARTS = {"nothing": 0.0, "half of the headers": 0.5, "the headers": 1.0, "all but the last byte": 2.0}


def part_of_request(stack: Stack, much: float) -> bytes:
    """Bytes of an HTTP/1.1 request: up to 1 of its head, from 1 to 2 of its body."""
    body: Any = {"model": MOMENTS[2].route, "messages": [{"role": "user", "content": WORDS}]}
    data, url = json.dumps(body).encode(), urlsplit(stack.url)
    lines = (
        "POST /v1/chat/completions HTTP/1.1", f"host: {url.netloc}", "content-type: application/json",
        f"authorization: Bearer {stack.api_key}", f"content-length: {len(data)}",
    )  # fmt: skip
    head = ("\r\n".join(lines) + "\r\n\r\n").encode()
    if much <= 1:
        return head[: int(len(head) * much)]
    return head + data[: int((len(data) - 1) * (much - 1))]


def context(stack: Stack) -> ssl.SSLContext:
    trust = stack.trust()
    trust.set_alpn_protocols(["http/1.1"])
    return trust
