"""Every REST path of the bindings, behind both fronts, with what no API understands: a new path is tried by being there.

Who calls is asked first: a stranger gets 401 and, where a path is an admin's, everybody else 403, whatever they send.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

from sidecar.openapi.operations import OPERATIONS, Operation
from tests.crawl.targets import Target, targets
from tests.crawl.wire import Answer
from tests.garbage.asking import WITH_BODY, Ask, ask
from tests.garbage.bodies import BODIES
from tests.garbage.conftest import Gateway, nothing_changed, small_answer
from tests.garbage.kinds import NAMES, NO_OBJECT, QUERIES, spoiled
from tests.provider import Provider
from tests.scale import SCALE

REST = [target for target in targets() if not target.grpc and not target.public]
PLAIN = [target for target in REST if "?" not in target.path]
_VARIABLE = r"{\w+(=[^}]*)?}"
USERS = (None, "ann", "boss")
# What says that the caller is mistaken.
MISTAKES = frozenset({400, 404, 409, 422})
# A provider's name of a model, or a key, is whatever the provider says, if it is a line of text.
_NUMBERS = ("a number as text", "a text with an exponent")
_TEXTS = (*_NUMBERS, "a dot", "two dots", "dots, written out")
_PATHS = ("a way up", "from the root", "a slash")
_OF_A_ROUTE = {
    *(f"model.name is {what}" for what in (*_TEXTS, *_PATHS, "half a surrogate pair")),
    *(f"model.config.api_key is {what}" for what in (*_TEXTS, "null")),
    *(f"timeouts is {what}" for what in ("null", "an empty object")),
    *(f"timeouts.total is {what}" for what in ("null", "half", "a number as text")),
    "limits is an empty list",
    "limits.0.requests is a number as text",
}
# Values that are good ones of an admin's call, though of a kind that mostly is not: (RPC, which).
GOOD = {
    ("SetMlflowLimits", "limits is an empty list"),
    ("SetMlflowLimits", "limits.0.key is null"),
    *(("CreateMlflowRoute", f"name is {what}") for what in _NUMBERS),
    *((rpc, what) for rpc in ("CreateMlflowRoute", "UpdateMlflowRoute") for what in _OF_A_ROUTE),
}


def _operation(target: Target) -> Operation:
    return OPERATIONS[_rpc(target)]


def _rpc(target: Target) -> str:
    return target.name.rpartition("/")[2]


def _is_error(answer: Answer) -> bool:
    """Of one of the three shapes."""
    body = json.loads(answer.body)
    return bool(body["error"]["message"] if "error" in body else body["detail"])


def _wrong(answered: Iterator[tuple[Ask, Answer]], right: Callable[[Ask, Answer], bool]) -> str:
    """A line for each that is."""
    lines = (
        f"{each.text}: {answer.status} {answer.body[:200]!r}" for each, answer in answered if not right(each, answer)
    )
    return "\n".join(lines)


def _refused_by_role(each: Ask, answer: Answer) -> bool | None:
    """Whether who calls was what the answer is about, as it must be; None: the caller may call this."""
    if each.user is None:
        return answer.status == 401
    if each.user != "boss" and _operation(each.target).admin:
        return answer.status == 403 and _is_error(answer)
    return None


def test_what_is_no_object_is_refused_before_any_work(gateway: Gateway, simulator: Provider) -> None:
    """On every path that takes a body."""
    asks = [
        Ask(what, target, user, body)
        for target in PLAIN
        if target.verb in WITH_BODY and _operation(target).request is not None  # no body is read of the others
        for user in USERS
        for what, body in NO_OBJECT.items()
    ]

    def right(each: Ask, answer: Answer) -> bool:
        by_role = _refused_by_role(each, answer)
        return (answer.status in (400, 422) and _is_error(answer)) if by_role is None else by_role

    before = len(simulator.calls)
    with nothing_changed(gateway):
        assert _wrong(ask(gateway, asks), right) == ""
    assert len(simulator.calls) == before, "a provider was called"


def test_a_value_that_is_none_is_refused_in_an_admins_calls(gateway: Gateway) -> None:
    """Each value of a good body in turn is none of its member's: numbers out of range, other types, odd names."""
    asks: list[Ask] = []
    admins = [target for target in PLAIN if _operation(target).admin and target.verb in WITH_BODY]
    for target in sorted(admins, key=lambda target: "Limits" not in target.name):  # before there are further routes
        body = BODIES[_operation(target).request or ""]
        for number, (what, data) in enumerate(spoiled(body)):
            if "{" in target.template:
                path = re.sub(_VARIABLE, "made", target.template)
            else:
                path, data = target.path, data.replace(b'"made"', b'"made-%d"' % number)
            asks += [Ask(what, target, user, data, path) for user in USERS if user == "boss" or "1e400" in what]
    good: dict[tuple[str, str], Ask] = {}

    def right(each: Ask, answer: Answer) -> bool:
        by_role = _refused_by_role(each, answer)
        if by_role is not None:
            return by_role
        if answer.status == 200:
            good[_rpc(each.target), each.what] = each
            return True
        return answer.status in MISTAKES and _is_error(answer)

    with nothing_changed(gateway):
        (create,) = (target for target in PLAIN if _rpc(target) == "CreateMlflowRoute")
        made = Ask("a good route", create, "boss", json.dumps(BODIES["RouteSpec"]).encode())
        assert [answer.status for _, answer in ask(gateway, [made])] == [200]
        updates = [each for each in asks if each.target.verb == "PATCH"]  # of two at once one is a conflict
        assert _wrong(ask(gateway, [each for each in asks if each not in updates]), right) == ""
        assert _wrong((found for each in updates for found in ask(gateway, [each])), right) == ""
        assert set(good) == GOOD
        for name in (
            "made",
            *(json.loads(each.body)["name"] for (rpc, _), each in good.items() if rpc == _rpc(create)),
        ):
            gateway.delete(name)
        gateway.clear_limits("embeddings")


def test_no_value_of_a_call_is_a_bug_of_ours(gateways: dict[str, Gateway], simulator: Provider) -> None:
    """Passed on, translated or refused: what a value is, a provider may judge, but none breaks the gateway."""
    simulator.script = small_answer
    wrong = ""
    for front, route in (("nginx", "chat"), ("envoy", "claude")):  # the same format, and another
        asks = list(_calls(route))[:: round(1 / (2 * SCALE)) or 1]
        with nothing_changed(gateways[front]):
            wrong += _wrong(ask(gateways[front], asks), _no_fault_of_ours)
    assert wrong == ""


def _calls(route: str) -> Iterator[Ask]:
    """Of every RPC that is no admin's, once."""
    for target in {target.name: target for target in PLAIN}.values():
        kind = _operation(target).request
        if kind is None or target.verb not in WITH_BODY or _operation(target).admin:
            continue
        body, named = BODIES[kind], route
        if "messages" not in body and kind != "ResponsesRequest":
            named = "embeddings" if "input" in body else "completions"
        if "model" in body:
            body = {**body, "model": named}
        for what, data in spoiled(body):
            yield Ask(what, target, "boss", data, re.sub(_VARIABLE, named, target.template))


def _no_fault_of_ours(each: Ask, answer: Answer) -> bool:
    """The simulator always answers with two vectors."""
    return 200 <= answer.status < 500 or b"upstream_protocol" in answer.body


def test_a_name_that_nothing_has_is_not_found(gateway: Gateway) -> None:
    """Dots, signs, what is too long, in each variable of each path: the path of something else, or nobody's."""
    asks = []
    for target in PLAIN:
        if "{" in target.template:
            body = b"{}" if target.verb in WITH_BODY else b""
            for name in NAMES:
                path = re.sub(_VARIABLE, lambda _, name=name: name, target.template)  # type: ignore[misc]
                asks += [Ask(name[:20], target, user, body, path) for user in USERS]

    def right(each: Ask, answer: Answer) -> bool:
        if each.user is None:
            return answer.status in (400, 401)  # 400: no request line at all
        if answer.status == 200:  # a list, a page, or limits: what is left of the path without its dots
            return each.target.verb == "GET"
        return answer.status in MISTAKES | {405} or (answer.status == 403 and each.user == "ann")

    with nothing_changed(gateway):
        assert _wrong(ask(gateway, asks), right) == ""


def test_a_parameter_that_is_none_is_refused(gateway: Gateway) -> None:
    """In each query parameter of each path: counts, tokens of pages."""
    asks = []
    for target in REST:
        path, question, query = target.path.partition("?")
        if question:
            name = query.partition("=")[0]
            asks += [
                Ask(value[:20], target, user, b"", f"{path}?{name}={value}") for value in QUERIES for user in USERS
            ]
    assert len(asks) > len(QUERIES)

    def right(each: Ask, answer: Answer) -> bool:
        if each.user is None:
            return answer.status in (400, 401)
        return answer.status in MISTAKES | {200, 415, 426}

    with nothing_changed(gateway):
        assert _wrong(ask(gateway, asks), right) == ""


def test_every_kind_of_body_is_tried() -> None:
    """A path with a new kind of body needs a good one to spoil."""
    kinds = {_operation(target).request for target in PLAIN if target.verb in WITH_BODY} - {None}
    assert kinds == set(BODIES)
