"""`sidecar explain ROUTE`: which upstream a call goes to and why, what limits it, and what the provider would
receive."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sidecar.cli.failure import Failure
from sidecar.cli.inference import BYTE_ORDER_MARK, KnownStateDir, Target, known_target, route_names
from sidecar.cli.offline_config import loaded
from sidecar.cli.option_kinds import ConfigPathOption
from sidecar.cli.terminal import BAD, GOOD, QUIET, WARN, console

if TYPE_CHECKING:
    from rich.console import Console

    from sidecar.domain.call import Call
    from sidecar.domain.snapshot import Consumer, Route, Snapshot
    from sidecar.gateway.explanation import Explained

_HELLO = "Say hello."
_FROM_STDIN = "-"
_STRATEGIES = {
    "ordered": "the first that is available; the others are its fallbacks",
    "weighted": "chosen at random by weight; the others are fallbacks",
    "least_in_flight": "the one with the fewest calls in progress; the others are fallbacks",
}
_Route = Annotated[str, typer.Argument(metavar="ROUTE", help="Name of the route.", autocompletion=route_names)]
_Prompt = Annotated[str | None, typer.Argument(metavar="PROMPT", help="Text of the prompt. Default: 'Say hello.'")]
_Body = Annotated[
    str | None,
    typer.Option(
        "--body",
        metavar="FILE",
        help="A request in OpenAI's JSON, instead of PROMPT; - is standard input. Example: --body call.json",
    ),
]
_ForConsumer = Annotated[
    str | None,
    typer.Option(
        "--consumer",
        metavar="NAME",
        help="The calling consumer, as in the config. Default: that of the local gRPC port.",
    ),
]


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: sidecar explain chat 'Say hello.'")(explain)


def explain(
    route: _Route,
    prompt: _Prompt = None,
    body: _Body = None,
    consumer: _ForConsumer = None,
    config_path: ConfigPathOption = None,
    state_dir: KnownStateDir = None,
    target: Target = None,
) -> None:
    """Show what would happen to a call.

    Reads the config file and sends nothing to a provider. Shows which upstream would be called and why, which limits
    apply, what of the request would be left out, and the JSON that the provider would receive. API keys are never
    shown. If the gateway is running, it is asked for the state of its upstreams.
    """
    from adapters import GatewayError
    from sidecar.gateway.explanation import explained

    snapshot = loaded(config_path, state_dir)
    caller = _consumer(snapshot, consumer)
    found = _found(snapshot, caller, route)
    try:
        rows = list(explained(found, _call(found, route, caller, prompt, body)))
    except GatewayError as error:
        raise Failure(f"{error.kind}: {error.message}") from None
    out = console()
    _print_route(out, found, route, caller)
    ejected = _print_upstreams(out, found, rows, target or known_target(state_dir))
    _print_sent(out, found, rows, ejected)


def _consumer(snapshot: Snapshot, name: str | None) -> Consumer:
    from sidecar.domain.caller import LOCAL_CONSUMER, Caller
    from sidecar.domain.snapshot import Consumer
    from sidecar.gateway.consumers import Consumers

    if name is None:
        return Consumers(snapshot).of(Caller(LOCAL_CONSUMER, True, "explain", None))
    if snapshot.consumers is None:
        return Consumer(name)
    found = next((each for each in snapshot.consumers if each.name == name), None)
    if found is None:
        known = ", ".join(each.name for each in snapshot.consumers)
        raise Failure(f"The config has no consumer {name}. It has: {known}.")
    return found


def _found(snapshot: Snapshot, caller: Consumer, name: str) -> Route:
    from sidecar.gateway.consumers import Consumers

    consumers = Consumers(snapshot)
    route = consumers.find(caller, name)
    if route is None:
        known = ", ".join(list(consumers.routes(caller))[:20]) or "none"
        raise Failure(f"There is no route {name} that consumer {caller.name} may call. It may call: {known}.")
    return route


def _call(route: Route, name: str, caller: Consumer, prompt: str | None, body: str | None) -> Call:
    from adapters import FORMATS
    from sidecar.domain.call import Call

    text = _body_of(body) if body else json.dumps({"model": name, **_asking(route, prompt or _HELLO)})
    envelope = FORMATS["openai"].client[route.task].open(text.encode())
    return Call(
        task=route.task,
        operation="explain",
        route=name,
        consumer=caller,
        request_id="explain",
        stream=envelope.stream,
        envelope=envelope,
        client_format="openai",
        size_bytes=len(text),
    )


def _asking(route: Route, prompt: str) -> dict[str, object]:
    match route.task:
        case "chat":
            return {"messages": [{"role": "user", "content": prompt}]}
        case "completions":
            return {"prompt": prompt}
        case _:
            return {"input": [prompt]}


def _body_of(path: str) -> str:
    try:
        text = sys.stdin.read() if path == _FROM_STDIN else Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Failure(f"--body {path} cannot be read: {error}") from None
    return text.removeprefix(BYTE_ORDER_MARK)


def _print_route(out: Console, route: Route, name: str, caller: Consumer) -> None:
    from sidecar.home.words import many
    from sidecar.limits import buckets_of
    from sidecar.spend.budgets import allowances_of

    times = route.timeouts
    out.print(f"Route {name}" + (f" (of {route.name})" if route.name != name else "") + f", {route.task}", style="bold")
    limits = [bucket.words.removeprefix("of ") for bucket in buckets_of(route, caller)]
    budgets = [f"{each.scope}: {each.amount}" for each in allowances_of(route, caller)]
    _print_rows(
        out,
        ("consumer", [caller.name]),
        ("limits", [*limits, *budgets] or ["none"]),
        (
            "timeouts",
            [
                f"connect {times.connect_s:g} s, first output {times.first_output_s:g} s, silence {times.idle_s:g} s, "
                f"whole call {times.total_s:g} s"
            ],
        ),
        ("retries", [f"{many(route.retries.budget, 'more attempt')} at most, before the first output"]),
    )


def _print_rows(out: Console, *rows: tuple[str, Iterable[str]]) -> None:
    for title, lines in rows:
        for index, line in enumerate(lines):
            out.print(f"  {title if index == 0 else '':<10} {line}")


def _print_upstreams(out: Console, route: Route, rows: Sequence[Explained], target: str) -> frozenset[str]:
    """Prints the upstreams. Returns the names of those that all workers have ejected."""
    from rich.text import Text

    from sidecar.cli.upstreams import StatesUnknown, upstream_states, words_of

    out.print()
    out.print("Upstreams", style="bold")
    out.print(f"  chosen     {_STRATEGIES[route.strategy]}")
    weights = sum(each.upstream.weight for each in rows)
    ejected = set()
    try:
        answer = upstream_states(target, route.name)
        known = {each.upstream: (each, answer.workers) for each in answer.upstreams}
        why = "not in the running gateway"
    except StatesUnknown as error:
        known, why = {}, f"state {error}"
    for number, each in enumerate(rows, 1):
        line = Text(f"  {number}. {each.name}: {each.upstream.provider}, {each.upstream.model}")
        if route.strategy == "weighted" and weights:
            line.append(f", {100 * each.upstream.weight / weights:.0f} % of calls")
        words, style = why, QUIET
        if each.name in known:
            state, workers = known[each.name]
            words, style = words_of(state, workers)
            if state.ejected_by >= max(1, workers):
                ejected.add(each.name)
        out.print(line, Text(f"({words})", style))
    return frozenset(ejected)


def _print_sent(out: Console, route: Route, rows: Sequence[Explained], ejected: frozenset[str]) -> None:
    from rich.text import Text

    able = [each for each in rows if not each.refusal]
    chosen = None  # random, or depending on load
    if route.strategy == "ordered" and able:
        chosen = next((each for each in able if each.name not in ejected), able[0])
    for each in rows:
        out.print()
        if each.refusal:
            out.print(Text(f"{each.name} would not be called: ", "bold").append(each.refusal, BAD))
            continue
        mark = " (the first to be called)" if each is chosen else ""
        out.print(Text(f"{each.name} would get{mark}", "bold" if each is chosen else ""))
        out.print(f"  {each.method} {each.url}")
        out.print(
            f"  {'your body unchanged, apart from documented edits' if each.passes else 'your body, translated'}",
            style=QUIET,
        )
        left_out = ", ".join(each.left_out)
        out.print(Text("  left out   ").append(left_out or "nothing", WARN if left_out else GOOD))
        out.print(_indented(each.body))


def _indented(body: str) -> str:
    try:
        text = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        text = body
    return "\n".join(f"  {line}" for line in text.splitlines())
