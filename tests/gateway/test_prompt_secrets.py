"""What is found in prompts: the gateway's own keys in every form a caller may write them in, and keys of known formats."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import random
import time
from typing import Any, Literal

import pytest

from adapters import FORMATS, GatewayError, Kind, Task
from sidecar.domain.call import Call
from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import Consumer, Grant, Route, Snapshot, Upstream
from sidecar.gateway.key_formats import KEY_FORMATS
from sidecar.gateway.prompt_secrets import CODE, KEY_CHARS_MIN, PromptSecrets, has_mark, known_kinds
from sidecar.v1 import inference_pb2 as pb

KEY = "sk-proj-Ab/3dE5gH7jK9mN1pQ3s"
OTHER = 'odd"key\\with/é-and-more'
CLIENT_SECRET = "entra~8Q.secret_value-1234"


def snapshot(mode: Literal["refuse", "log", "off"] = "refuse", more: int = 0) -> Snapshot:
    """Two routes with a key each, one with a client secret, one with a short key; `more` with keys of their own."""
    keys = [KEY, OTHER, "short-key-15-ch", *(f"sk-or-{number:032x}" for number in range(more))]
    upstreams = [Upstream("openai", "m", "http://x", Secret(key)) for key in keys]
    grant = Grant("http://x", client_id="id", client_secret=Secret(CLIENT_SECRET))
    upstreams.append(Upstream("azure", "m", "http://x", None, grant=grant))
    routes = {f"r{index}": Route(f"r{index}", Task.CHAT, (each,)) for index, each in enumerate(upstreams)}
    return Snapshot(routes, "0", secrets_in_prompts=mode)


def rest(body: bytes | dict[str, Any]) -> Call:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    envelope = FORMATS["openai"].client[Task.CHAT].open(raw)
    return Call(Task.CHAT, "chat", "r0", Consumer("alice"), "request-1", envelope=envelope)


def typed(text: str) -> Call:
    message = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text=text)])
    request = pb.ChatRequest(route="r0", messages=[message])
    return Call(Task.CHAT, "chat", "r0", Consumer("alice"), "request-1", request=request)


def prompt(text: str) -> dict[str, Any]:
    return {"model": "r0", "messages": [{"role": "user", "content": text}]}


def refused(prompts: PromptSecrets, call: Call) -> bool:
    try:
        asyncio.run(prompts.check(call))
    except GatewayError as error:
        assert (error.kind, error.code) == (Kind.INVALID_REQUEST, CODE)
        assert all(key not in error.message for key in (KEY, OTHER, CLIENT_SECRET))
        return True
    return False


# Of many keys one is found where it begins a word, and no word has a quote in it.
_ANYWHERE = [
    (0, before, key) for before in ("", " ", "x", "KEY=", '{"k": "', "a\nb") for key in (KEY, OTHER, CLIENT_SECRET)
]
_AT_WORDS = [(200, before, key) for before in ("", " ", "KEY=", '{"k": "', "a\n") for key in (KEY, CLIENT_SECRET)]


@pytest.mark.parametrize(("more", "before", "key"), [*_ANYWHERE, *_AT_WORDS])
def test_an_own_key_is_refused_in_both_services(more: int, before: str, key: str) -> None:
    prompts = PromptSecrets(snapshot(more=more))
    text = f"{before}{key} and what follows"
    assert refused(prompts, rest(prompt(text)))
    assert refused(prompts, typed(text))
    assert not refused(prompts, typed(f"{before}{key[:-1]}"))


def _escapes(text: str) -> list[bytes]:
    """Ways to write a string in JSON, without its quotes."""
    every = "".join(f"\\u{ord(character):04x}" for character in text)
    upper = "".join(f"\\u{ord(character):04X}" for character in text)
    return [
        every.encode(),
        upper.encode(),
        (f"\\u{ord(text[0]):04x}" + json.dumps(text[1:])[1:-1]).encode(),
        json.dumps(text)[1:-1].encode(),
        json.dumps(text)[1:-1].replace("/", "\\/").encode(),
        json.dumps(text, ensure_ascii=False)[1:-1].encode(),
    ]


@pytest.mark.parametrize("key", [KEY, CLIENT_SECRET])
@pytest.mark.parametrize("form", range(6))
@pytest.mark.parametrize("more", [0, 200])
def test_json_escapes_do_not_hide_a_key(key: str, form: int, more: int) -> None:
    body = b'{"model":"r0","messages":[{"role":"user","content":"my key: %b"}]}' % _escapes(key)[form]
    assert json.loads(body)["messages"][0]["content"] == f"my key: {key}"
    assert refused(PromptSecrets(snapshot(more=more)), rest(body))


def test_an_escaped_backslash_is_no_escape() -> None:
    body = b'{"model":"r0","messages":[{"role":"user","content":"\\\\u0073%b"}]}' % KEY[1:].encode()
    assert json.loads(body)["messages"][0]["content"] == "\\u0073" + KEY[1:]
    assert not refused(PromptSecrets(snapshot()), rest(body))


@pytest.mark.parametrize(
    "body",
    [
        {**prompt("hi"), "metadata": {"note": KEY}},
        {**prompt("hi"), KEY: 1},
        {**prompt("hi"), "tools": [{"type": "function", "function": {"name": "f", "description": f"uses {KEY}"}}]},
        {"model": "r0", "messages": [{"role": "user", "content": [{"type": "text", "text": KEY}]}]},
    ],
)
def test_a_key_is_found_anywhere_in_a_body(body: dict[str, Any]) -> None:
    assert refused(PromptSecrets(snapshot()), rest(body))


def test_json_inside_a_typed_message_is_searched_too() -> None:
    call = typed("hi")
    call.request.extra_json = json.dumps({"note": KEY}).replace("/", "\\/")
    assert refused(PromptSecrets(snapshot()), call)


@pytest.mark.parametrize("more", [0, 200])
def test_a_short_key_is_not_searched(more: int) -> None:
    assert not refused(PromptSecrets(snapshot(more=more)), typed("the short-key-15-ch is a word"))
    assert KEY_CHARS_MIN == 16


def test_log_and_off_let_the_call_pass(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert not refused(PromptSecrets(snapshot("off")), typed(KEY))
        assert caplog.text == ""
        assert not refused(PromptSecrets(snapshot("log")), typed(KEY))
    assert "the gateway's own key of openai in a prompt: route r0, consumer 'alice', request request-1" in caplog.text
    assert KEY not in caplog.text


def test_a_refusal_is_logged_without_the_key(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert refused(PromptSecrets(snapshot()), typed(CLIENT_SECRET))
    (record,) = caplog.records
    assert record.getMessage().startswith("the gateway's own key of azure in a prompt, refused:")
    assert CLIENT_SECRET not in caplog.text


_A = "Ab3" * 20
# Made up; in two pieces, so that scanners of repositories leave this file alone.
LOOKS = [
    ("anthropic", "sk-ant-" + f"api03-{_A}"),
    ("openai", "sk-" + "proj-" + f"{_A}_{_A}"),
    ("openai", "sk-" + _A[:48]),
    ("openai", "sk-" + "or-v1-" + "0123456789abcdef" * 4),
    ("aws", "AKI" + "AIOSFODNN7EXAMPLE"),
    ("aws", "ASI" + "AIOSFODNN7EXAMPLE"),
    ("github", "ghp" + f"_{_A[:36]}"),
    ("github", "github_" + f"pat_{_A}"),
    ("gitlab", "glpat" + f"-{_A[:20]}"),
    ("huggingface", "hf" + f"_{_A[:34]}"),
    ("google", "AIza" + _A[:35]),
    ("slack", "xox" + f"b-123456789012-{_A[:24]}"),
    ("groq", "gsk" + f"_{_A[:52]}"),
    ("xai", "xai" + f"-{_A}"),
    ("stripe", "sk" + f"_live_{_A[:24]}"),
    ("private-key", "-----BEGIN " + "RSA PRIVATE KEY-----"),
    ("private-key", "-----BEGIN " + "PRIVATE KEY-----"),
]


@pytest.mark.parametrize(("kind", "text"), LOOKS)
def test_what_looks_like_a_key_is_logged_by_kind_and_passes(
    kind: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for call in (typed(f"see:{text}"), typed(text), rest(prompt(f"x {text}\n"))):
            assert not refused(PromptSecrets(snapshot()), call)
    assert [record.getMessage().partition(" in a prompt")[0] for record in caplog.records] == [
        f"something like a key ({kind})"
    ] * 3
    assert text not in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        "risk-management-framework-for-2024-and-beyond, task-1234567890",
        "the sk-learn package, disk-internationalisation, AKIA, hf_hub_download_to_a_cache",
        "a hash: 3f786850e387550fdab836ed7e6dc881de23001b, xai-org, ghp_ and AIza",
        "-----BEGIN CERTIFICATE-----",
    ],
)
def test_ordinary_text_is_not_taken_for_a_key(text: str) -> None:
    assert known_kinds(text.encode()) == []


def test_several_kinds_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        asyncio.run(PromptSecrets(snapshot()).check(typed(" ".join(text for _, text in LOOKS))))
    (record,) = caplog.records
    assert "anthropic, aws, github, gitlab, google, groq, huggingface, openai, private-key" in record.getMessage()


@pytest.mark.parametrize("more", [0, 6000])
def test_a_megabyte_is_searched_in_a_fraction_of_a_second(more: int) -> None:
    """Measured: 8 ms, and 20 ms among 6,000 keys; ten times that is allowed on a busy machine."""
    prompts = PromptSecrets(snapshot(more=more))
    random.seed(7)
    blob = base64.b64encode(random.randbytes(786_432)).decode()
    spaced = " ".join(blob[at : at + 7] for at in range(0, len(blob), 8))
    for text in (blob, spaced):
        call = typed(text)
        start_s = time.process_time()
        asyncio.run(prompts.check(call))
        assert time.process_time() - start_s < 0.3


def test_the_fast_search_for_marks_finds_what_looking_for_each_of_them_finds() -> None:
    marks = [mark for form in KEY_FORMATS.values() for mark in form.marks]
    pieces = [mark[at:] for mark in marks for at in range(len(mark))] + [
        mark[:at] for mark in marks for at in range(len(mark))
    ]
    dice = random.Random(7)
    found = 0
    for text in [*marks, *(b"".join(dice.choices(pieces, k=dice.randint(0, 4))) for _ in range(20_000))]:
        expected = any(mark in text for mark in marks)
        found += expected
        assert has_mark(text) is expected, text
    assert 1_000 < found < 19_000
