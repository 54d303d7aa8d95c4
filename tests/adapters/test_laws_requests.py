"""Laws over every recorded request: built by the oracle, encoded by us, it is the recorded one again."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from adapters import GatewayError, Target
from tests.adapters.laws import CONTEXT, Case, cases, normal

ALL = cases()
REQUESTS = [case for case in ALL if case.row.requests]
READ = [case for case in ALL if case.task in case.format.client]
# "any" is Mistral's word: the same-format way carries it, as a canonical request it is refused.
TRANSLATED = [case for case in READ if case.request.get("tool_choice") != "any"]
WRONG: tuple[Any, ...] = (None, 5, "x", [], {}, [5], {"type": 5}, True, 1e300, "\u2028")
MUTATIONS_MAX = 150


def name(case: Case) -> str:
    return f"{case.path.parent.name}-{case.path.stem}"


def plain(case: Case) -> Target:
    """The provider without the one member we add ourselves."""
    return replace(case.target, provider=replace(case.row.provider, include_usage=False))


def encoded(case: Case, request: Any) -> Any:
    call = case.side.encode(request, plain(case), bool(case.request.get("stream")), CONTEXT)
    return normal(json.loads(call.body))


def body_of(case: Case, body: dict[str, Any] | None = None) -> bytes:
    body = case.request if body is None else body
    named = body | {"model": body.get("model") or "m"}
    return json.dumps(named, indent=1, ensure_ascii=False).encode()


@pytest.mark.parametrize("case", REQUESTS, ids=name)
def test_what_the_oracle_read_is_encoded_as_it_was_recorded(case: Case) -> None:
    request = case.row.oracle.request(case.request, str(case.task))
    before = copy.deepcopy(request)
    assert encoded(case, request) | {"model": ""} == normal(case.request) | {"model": ""}
    assert request == before, "encode changed its input"


@pytest.mark.parametrize("case", TRANSLATED, ids=name)
def test_a_body_read_and_written_again_says_the_same(case: Case) -> None:
    client = case.format.client[case.task]
    written = encoded(case, client.decode_request(client.open(body_of(case))))
    wanted = case.request
    if (plain_request := getattr(case.row.oracle, "plain_request", None)) is not None:
        written, wanted = normal(plain_request(written)), plain_request(wanted)
    assert written | {"model": ""} == normal(renamed(case, with_types(wanted))) | {"model": ""}


def with_types(body: dict[str, Any]) -> dict[str, Any]:
    """Mistral's SDK leaves the type of a tool out where we write it. `output_format` is the name that Anthropic's beta had for
    `output_config.format`."""
    if "output_format" in body:
        form = body["output_format"]
        body = {key: value for key, value in body.items() if key != "output_format"}
        body["output_config"] = {**body.get("output_config", {}), "format": form}
    tools = [{"type": "function"} | tool if "function" in tool else tool for tool in body.get("tools") or []]
    return body | {"tools": tools}


def renamed(case: Case, body: dict[str, Any]) -> dict[str, Any]:
    """The members by the names that the provider's row says it knows them by."""
    return {case.row.provider.renamed.get(key, key): value for key, value in body.items()}


@pytest.mark.parametrize("case", READ, ids=name)
def test_the_same_format_way_keeps_the_bytes_of_every_member_but_two(case: Case) -> None:
    assert case.side.patch is not None
    envelope = case.format.client[case.task].open(body_of(case))
    sent = msgspec.json.decode(case.side.patch(envelope, case.target).body, type=dict[str, msgspec.Raw])
    kept = {key: bytes(raw) for key, raw in sent.items() if key not in ("model", "stream_options")}
    members = renamed(case, dict(envelope.members))
    assert kept == {key: raw for key, raw in members.items() if key not in ("model", "stream_options")}


@pytest.mark.parametrize("case", READ[::3], ids=name)
def test_a_body_with_one_value_of_another_type_is_read_or_refused_but_never_breaks_us(case: Case) -> None:
    client = case.format.client[case.task]
    for body in mutations(case.request):
        try:
            request = client.decode_request(client.open(body_of(case, body)))
            case.side.encode(request, case.target, False, CONTEXT)
        except GatewayError as error:
            assert error.kind in ("invalid_request", "unsupported_parameter")


@pytest.mark.parametrize("case", [c for c in ALL if c.status == 200 and not c.streamed][::3], ids=name)
def test_an_answer_with_one_value_of_another_type_is_read_or_an_error_but_never_breaks_us(case: Case) -> None:
    for body in mutations(case.recording["response"]["body"]):
        raw = json.dumps(body).encode()
        for read in (lambda raw: case.side.decode(raw, CONTEXT), case.side.check or (lambda raw: None)):
            try:
                read(raw)
            except GatewayError as error:
                assert error.message


def mutations(value: Any) -> list[Any]:
    """The value with one leaf or branch replaced, at most MUTATIONS_MAX of them, spread evenly."""
    found = [change for path in paths(value) for change in ((path, wrong) for wrong in WRONG)]
    step = max(1, len(found) // MUTATIONS_MAX)
    return [replaced(value, path, wrong) for path, wrong in found[::step]]


def paths(value: Any) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    return [(key, *rest) for key, one in inner for rest in ((), *paths(one))]


def replaced(value: Any, path: tuple[Any, ...], wrong: Any) -> Any:
    if not path:
        return wrong
    changed = list(value) if isinstance(value, list) else dict(value)
    changed[path[0]] = replaced(value[path[0]], path[1:], wrong)
    return changed
