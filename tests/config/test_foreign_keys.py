"""Keys in the syntax of other tools, and what stands around a key elsewhere: refused when the file is read."""

from __future__ import annotations

import pytest

from tests.config.loading import loaded, problems, route

PLACE = "config.yaml:4: routes[0].model.config.openai_api_key: "
KEY = "sk-CANARY-9f8e7d6c5b4a39281706"


def _with(written: str) -> str:
    return route(config="openai_api_key: '" + written.replace("'", "''") + "'")


@pytest.mark.parametrize(
    "written",
    [
        "os.environ/PROVIDER_KEY",
        "os.environ['PROVIDER_KEY']",
        'os.getenv("PROVIDER_KEY")',
        "{{ env.PROVIDER_KEY }}",
        "{{PROVIDER_KEY}}",
        "{{ .Values.PROVIDER_KEY }}",
        "{{ PROVIDER_KEY | default('x') }}",
        "${{ secrets.PROVIDER_KEY }}",
        "env.PROVIDER_KEY",
        "process.env.PROVIDER_KEY",
        "env:PROVIDER_KEY",
        "$env:PROVIDER_KEY",
        "${env:PROVIDER_KEY}",
        "${PROVIDER_KEY:-none}",
        "$(PROVIDER_KEY)",
        "%PROVIDER_KEY%",
    ],
)
def test_another_tools_variable_is_refused_with_ours(written: str) -> None:
    (problem,) = problems(_with(written), PROVIDER_KEY=KEY)
    assert problem.startswith(PLACE)
    assert problem.endswith("; write $PROVIDER_KEY or file:PATH")


@pytest.mark.parametrize("written", ["YOUR_API_KEY", "<your key>", "your-openai-api-key", "op://vault/item/field"])
def test_a_placeholder_is_no_key(written: str) -> None:
    (problem,) = problems(_with(written))
    assert problem.endswith("write $NAME or file:PATH")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (f'"{KEY}"', "has quotes around it"),
        (f"'{KEY}'", "has quotes around it"),
        (f"\u201c{KEY}\u201d", "has quotes around it"),
        (f"Bearer {KEY}", "begins with the scheme"),
        (f"bearer  {KEY}", "begins with the scheme"),
        (f"OPENAI_API_KEY={KEY}", "is a line NAME=value"),
        (f"export OPENAI_API_KEY = {KEY}", "is a line NAME=value"),
        (f"# mine\nOPENAI_API_KEY={KEY}\nOTHER_KEY=x", "control or non-Latin-1 character"),
        (f"api_key={KEY}", "is a line NAME=value"),
        (f'{{"api_key": "{KEY}"}}', "is JSON"),
        ("os.environ/PROVIDER_KEY", "is another tool's variable or a placeholder"),
    ],
)
@pytest.mark.parametrize("source", ["$FOUND", "file:found", "text"])
def test_what_is_no_key_alone_is_refused_wherever_it_comes_from(value: str, words: str, source: str) -> None:
    if source == "text" and ("\n" in value or "os.environ" in value):
        source = "$FOUND"
    written = value if source == "text" else source
    (problem,) = problems(_with(written), {"found": f"{value}\n"}, FOUND=value)
    assert problem.startswith(PLACE)
    assert words in problem
    assert "CANARY" not in problem


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-abc_DEF-123",
        "c2VjcmV0LXZhbHVl==",
        "ABCDEF=",
        "dummy",
        "EMPTY",
        "none",
        "sk-no-key-required",
        "abc.def.ghi",
        "user:password",
        "a=b",
        "x" * 64,
    ],
)
def test_real_keys_of_every_shape_are_taken(key: str) -> None:
    secret = loaded(_with("$FOUND"), FOUND=key).routes["chat"].upstreams[0].key
    assert secret is not None
    assert secret.reveal() == key


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_byte_order_mark_before_a_key_is_ignored(end: str) -> None:
    marked = f"\ufeff{KEY}{end}"
    for text in (_with("file:k"), _with("$FOUND")):
        secret = loaded(text, {"k": marked}, FOUND=marked).routes["chat"].upstreams[0].key
        assert secret is not None
        assert secret.reveal() == KEY
