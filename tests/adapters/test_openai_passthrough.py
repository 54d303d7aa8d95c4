"""A caller's OpenAI body, opened and passed on: two edits, every other byte as it came."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import FORMATS, Envelope, GatewayError, Kind, Provider, Target, Task
from adapters.providers import PROVIDERS

OPENAI = FORMATS["openai"]
CHAT = OPENAI.client[Task.CHAT]
TARGET = Target(PROVIDERS["openai-compatible"], "gpt-x", "http://127.0.0.1:1/v1")


def refusal_of(body: bytes) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        CHAT.open(body)
    assert caught.value.kind is Kind.INVALID_REQUEST
    return caught.value


def patched(body: bytes, provider: Provider = TARGET.provider, **options: Any) -> bytes:
    patch = OPENAI.provider[Task.CHAT].patch
    assert patch is not None
    return patch(CHAT.open(body), Target(provider, "gpt-x", TARGET.base_url, options)).body


def test_only_the_model_changes_and_numbers_spaces_and_order_stay() -> None:
    body = b'{ "z" : 12345678901234567890123 , "model":"r","a":[ 1.0e-1,\t{"k":1,"k":2} ],\n"\\u00e9":"\\u2028" }'
    assert patched(body) == (
        b'{"z":12345678901234567890123,"model":"gpt-x","a":[ 1.0e-1,\t{"k":1,"k":2} ],"\xc3\xa9":"\\u2028"}'
    )


def test_a_stream_asks_for_usage_beside_the_callers_own_options() -> None:
    body = b'{"model":"r","stream":true,"stream_options":{"include_obfuscation": false,"include_usage": false}}'
    assert b'"stream_options":{"include_obfuscation":false,"include_usage":true}' in patched(body)
    assert b'"stream_options":{"include_usage":true}' in patched(b'{"model":"r","stream":true,"stream_options":null}')
    silent = replace(TARGET.provider, include_usage=False)
    assert b"include_usage" not in patched(b'{"model":"r","stream":true}', silent)
    assert b"include_usage" not in patched(b'{"model":"r"}')


def test_the_envelope_says_what_the_caller_asked_for() -> None:
    envelope = CHAT.open(b'{"model":"r","stream":true,"stream_options":{"include_usage":true}}')
    assert (envelope.model, envelope.stream, envelope.include_usage) == ("r", True, True)
    assert CHAT.open(b'{"model":"r","stream":null,"stream_options":null}').stream is False


def test_a_row_can_forbid_and_rename_members_and_a_route_can_drop_them() -> None:
    quirky = replace(TARGET.provider, forbidden=frozenset({"seed"}), renamed={"max_completion_tokens": "max_tokens"})
    assert json.loads(patched(b'{"model":"r","max_completion_tokens":5}', quirky)) == {
        "model": "gpt-x",
        "max_tokens": 5,
    }
    with pytest.raises(GatewayError) as caught:
        patched(b'{"model":"r","seed":1}', quirky)
    assert (caught.value.kind, caught.value.param) == (Kind.UNSUPPORTED_PARAMETER, "seed")
    with pytest.raises(GatewayError):
        patched(b'{"model":"r","max_completion_tokens":5,"max_tokens":6}', quirky)
    assert json.loads(patched(b'{"model":"r","seed":null}', quirky)) == {"model": "gpt-x", "seed": None}
    assert json.loads(patched(b'{"model":"r","seed":1}', quirky, drop_params=["seed"])) == {"model": "gpt-x"}


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'"x"', b"{", b'{"model":"r"}x', b'{"model":"r"} {}', b'{"model":"r",}', b'{"model":"r","a":NaN}',
     b'{"model":"r","a":01}', b'{"model":"r","a":"\xff"}', b'{"model":"r","a":"\n"}', b"\xef\xbb\xbf{}", b"{'model':1}",
     '{"model":"r"}'.encode("utf-16"), b'{"model":"r","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"],
)  # fmt: skip
def test_anything_but_one_json_object_is_refused(body: bytes) -> None:
    refusal_of(body)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{}", "model"),
        (b'{"model":null}', "model"),
        (b'{"model":""}', "model"),
        (b'{"model":5}', "model"),
        (b'{"model":"r","stream":"true"}', "stream"),
        (b'{"model":"r","stream":1}', "stream"),
        (b'{"model":"r","stream_options":[]}', "stream_options"),
        (b'{"model":"r","stream_options":{"include_usage":"yes"}}', "stream_options.include_usage"),
        (b'{"model":"r","a":1,"a":1}', "a"),
        (b'{"model":"r","model":"s"}', "model"),
        (b'{"model":"r","\\u006dodel":"s"}', "model"),
        (b'{"model":"r","a":12,"a":1}', "a"),
        (b'{"a":1,"b":2,"model":"r","\\u0061":1}', "a"),
    ],
)
def test_what_is_wrong_is_named(body: bytes, param: str) -> None:
    assert refusal_of(body).param == param


spaces = st.sampled_from(["", " ", "\r\n\t"])
values = st.sampled_from(["1", "12", "1.0e-1", '"a,b\\"}"', "[1, 2]", '{"a":1,"a":2}', "null", '"ü\\u2028"', "{}"])
member = st.tuples(st.text("ab", max_size=2), st.booleans(), values, spaces, spaces, spaces, spaces)


def written(key: str, escaped: bool) -> str:
    return '"' + ("".join(f"\\u{ord(letter):04x}" for letter in key) if escaped else key) + '"'


@settings(max_examples=300)
@given(st.lists(member, max_size=5), spaces)
def test_exactly_a_key_that_stands_twice_is_refused_however_it_is_written(members: list[Any], around: str) -> None:
    members = [("model", False, '"r"', "", "", "", ""), *members]
    inner = ",".join(f"{a}{written(key, esc)}{b}:{c}{value}{d}" for key, esc, value, a, b, c, d in members)
    body = f"{around}{{{inner}}}{around}".encode()
    keys = [key for key, *_ in members]
    if len(set(keys)) < len(keys):
        assert keys.count(str(refusal_of(body).param)) > 1
    else:
        envelope: Envelope = CHAT.open(body)
        assert {key: raw.decode() for key, raw in envelope.members.items()} == {m[0]: m[2] for m in members}


def test_bodies_made_to_cost_time_do_not() -> None:
    def seconds(body: bytes) -> float:
        began = time.thread_time()
        try:
            patched(body)
        except GatewayError:
            pass
        return time.thread_time() - began

    model = b'{"model":"r",'
    assert seconds(model + b'"a":"' + "ü".encode() * 10_000_000 + b'"}') < 1
    assert seconds(model + b" " * 20_000_000 + b'"\\u0061":1}') < 1
    assert seconds(model + b",".join(b'"%d":1' % i for i in range(1_000_000)) + b"}") < 2
    assert seconds(model + b'"a":' + b"[" * 900 + b"]" * 900 + b"}") < 0.1
