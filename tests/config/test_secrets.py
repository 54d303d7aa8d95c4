"""Where keys come from, and that no message ever shows one."""

from __future__ import annotations

import pickle

import pytest

from sidecar.config import ConfigErrors, load
from tests.config.loading import loaded, problems, route

CANARY = "sk-CANARY-9f8e7d6c5b4a39281706"
PLACE = "config.yaml:4: routes[0].model.config.openai_api_key"


def _with(key: str) -> str:
    return route(config=f'openai_api_key: "{key}"')


def _key(text: str, files: dict[str, str] | None = None, **env: str) -> str:
    key = loaded(text, files, **env).routes["chat"].upstreams[0].key
    assert key is not None
    return key.reveal()


@pytest.mark.parametrize("written", ["$KEY", "${KEY}", "file:run/key", "/run/secrets/key", "run/key"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_key_is_read_from_variables_and_files_without_its_last_newline(written: str, end: str) -> None:
    files = {"run/key": CANARY + end, "/run/secrets/key": CANARY + end}
    assert _key(_with(written), files, KEY=CANARY + end) == CANARY
    assert loaded(_with(written), files, KEY=CANARY).warnings == ()


def test_a_literal_key_works_with_a_warning_that_does_not_show_it() -> None:
    assert _key(_with(CANARY)) == CANARY
    (warning,) = loaded(_with(CANARY)).warnings
    assert warning == f"{PLACE}: contains the key in plain text; use $NAME or file:PATH"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("$NOT_THERE", "environment variable NOT_THERE is not set"),
        ("${EMPTY}", "environment variable EMPTY is empty"),
        (
            "$A-B",
            "environment variable (not shown: it may be part of a key) is not set; "
            "$NAME and ${NAME} are variables, $$ is a dollar",
        ),
        ("${A", "contains a $ that does not begin a variable; $NAME and ${NAME} are variables, $$ is a dollar"),
        ("file:gone", 'file "gone" does not exist; paths start at the config file\'s directory'),
        ("file:", 'file "" does not exist; paths start at the config file\'s directory'),
        (
            "/run/gone",
            ("looks like a path, but the file does not exist; put a key that starts like this into a variable: $NAME"),
        ),
        ("file:empty", 'file "empty" is empty'),
        ("file:two-lines", 'file "two-lines" contains a control or non-Latin-1 character, which headers do not allow'),
        ("file:blank", 'file "blank" starts or ends with a blank'),
        ("file:long", 'file "long" is longer than 8192 characters'),
        (
            "$CONTROL",
            "environment variable CONTROL contains a control or non-Latin-1 character, which headers do not allow",
        ),
        ("a\\tb", "the key contains a control or non-Latin-1 character, which headers do not allow"),
        ("schlüssel€", "the key contains a control or non-Latin-1 character, which headers do not allow"),
        ("", "must not be empty"),
    ],
)
def test_each_unusable_key_has_its_message(written: str, message: str) -> None:
    files = {"empty": "\n", "two-lines": f"{CANARY}\n{CANARY}\n", "blank": f" {CANARY}", "long": "x" * 9000}
    assert problems(_with(written), files, CONTROL=f"{CANARY}\x00") == [f"{PLACE}: {message}"]


def test_a_file_that_cannot_be_read_is_a_problem() -> None:
    def refuse(path: str) -> str | None:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(ConfigErrors, match="the file cannot be read: Permission denied"):
        load(_with("file:key"), {}, read_file=refuse)


def test_a_file_that_many_routes_name_is_read_once() -> None:
    reads: list[str] = []

    def read(path: str) -> str | None:
        reads.append(path)
        return CANARY

    one = _with("file:key")
    load(one + one.replace("name: chat", "name: other").removeprefix("routes:\n"), {}, read_file=read)
    assert reads == ["key"]


MISPLACED = [
    _with(f"{CANARY}\\n{CANARY}"),
    _with(f"/{CANARY}"),
    _with(f"${{{CANARY}}}"),
    _with(f"${CANARY.replace('-', '_')}"),
    _with(f"file:{CANARY}"),
    _with(f"file:/run/secrets/{CANARY}"),
    route(config=f"openai_api_key:{CANARY}"),
    route(config=f"{CANARY}: openai_api_key"),
    route(config=f"openai_api_key: *{CANARY}"),
    route(config=f"openai_api_key: !{CANARY} x"),
    route(config=f"openai_api_key: [{CANARY}]"),
    route(config=f"openai_api_key: {{{CANARY}: 1, {CANARY}: 2}}"),
    route(config=f"openai_api_key: '{CANARY}"),
    route(model=CANARY),
    route(model=f"{{provider: {CANARY}, name: x}}"),
    route(type=CANARY),
    route(f"headers: {{Authorization: Bearer {CANARY}}}"),
    route(f"headers: {{X-A: {CANARY}é}}"),
    route(f"proxy: socks5://u:{CANARY}@proxy"),
    route(f"{CANARY}: x"),
    route(f"limit: {CANARY}\ntimeouts: {{total: {CANARY}}}\nresponse_bytes_max: {CANARY}"),
    route(provider="openai-compatible", config=f"base_url: https://{CANARY}@x/"),
    route(provider="openai-compatible", config=f"base_url: https://x/?key={CANARY}"),
    route().replace("name: chat", f"name: {CANARY}!"),
    route(f"limits: [{{requests: {CANARY}, per: {CANARY}, each: {CANARY}}}]"),
    route(f"limits: [{{{CANARY}: 1}}]\nlimit: {{calls: {CANARY}, renewal_period: {CANARY}, key: {CANARY}}}"),
    route(f"budgets: [{{dollars: {CANARY}, per: {CANARY}, soft: {CANARY}}}]\nprice: {{input: {CANARY}, output: 1}}"),
    route(f"strategy: {CANARY}\nretries: {{backoff: {CANARY}}}\nbreaker: {{error_ratio: {CANARY}}}"),
    route(f"fallbacks: [{{provider: {CANARY}, name: x}}]\nadmission: {{{CANARY}: 1}}\nmlflow_dialect: {CANARY}"),
    route() + f"  - {{name: s, task_type: {CANARY}, destinations: [{{name: {CANARY}, traffic_percentage: 100}}]}}\n",
    route() + f"  - {{name: s, task_type: llm/v1/chat, destinations: [{{name: {CANARY}, traffic_percentage: 100}}]}}\n",
    route() + f"consumers: [{{name: {CANARY}!, users: [{CANARY}], roles: [{CANARY}], allow: [{CANARY}]}}]\n",
    route() + f"secrets_in_prompts: {CANARY}\nmanage_routes: {CANARY}\n{CANARY}: 1\n",
]


@pytest.mark.parametrize("text", MISPLACED)
def test_no_message_shows_a_part_of_a_key(text: str) -> None:
    messages = "\n".join(problems(text, KEY=CANARY))
    assert "CANARY" not in messages
    assert "9f8e7d6c" not in messages


def test_the_search_for_the_canary_can_find_one() -> None:
    assert "CANARY" in "\n".join(problems(_with("$CANARY")))  # a variable's name is shown: it is no secret


def test_a_snapshot_prints_without_its_keys_and_still_travels_to_workers() -> None:
    snapshot = loaded(_with("$KEY"), KEY=CANARY)
    assert "CANARY" not in f"{snapshot!r} {snapshot} {snapshot.routes}"
    assert pickle.loads(pickle.dumps(snapshot)) == snapshot


def test_the_error_holds_no_key_in_its_causes() -> None:
    with pytest.raises(ConfigErrors) as caught:
        loaded(route(config=f"openai_api_key: '{CANARY}"))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
