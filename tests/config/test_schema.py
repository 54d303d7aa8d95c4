"""The published JSON Schema is the one the code makes."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from jsonschema import Draft202012Validator

from adapters.providers import ALIASES, PROVIDERS
from sidecar.config import schema
from sidecar.config.upstream import GONE, NOT_YET
from tests.config.loading import loaded, problems, route

PUBLISHED = Path(__file__).parents[2] / "docs" / "reference" / "config.schema.json"


def test_the_published_schema_is_fresh() -> None:
    assert PUBLISHED.read_text() == schema.text(), (
        "run: python -m sidecar.config.schema > docs/reference/config.schema.json"
    )


LIMITING = "limit limits budgets"
OF_A_ROUTE = "fallback_on timeouts response_bytes_max stream_keepalive retries breaker admission mlflow_dialect"
OF_AN_UPSTREAM = "ca_file client_certificate proxy"
# What the file may have, section by section: the reader, the schema and the pages come from one table each.
KEYS = {
    "route": f"name aliases route_type endpoint_type model fallbacks models strategy price cost {LIMITING} {OF_A_ROUTE} "
    f"{OF_AN_UPSTREAM} default_max_tokens drop_params strict completions_api chat_api stream_end headers",
    "split": f"name task_type destinations routing_strategy {LIMITING} {OF_A_ROUTE}",
    "model": "provider name config weight price cost",
    "consumer": "name users local roles allow deny limits budgets",
    "route_limit": "requests tokens concurrent per each when_unavailable mode",
    "consumer_limit": "requests tokens concurrent per each when_unavailable mode",
    "route_budget": "dollars per soft each when_unavailable",
    "consumer_budget": "dollars per soft each when_unavailable",
    "store": "redis timeout installation encryption_key archive",
    "archive": "url ca username password keep_rows",
    "redis": "url ca username password cluster sentinel",
    "mlflow_limit": "calls renewal_period key",
    "price": "input output cached_input cache_write cache_write_1h tiers",
}
TOP_KEYS = (
    "routes endpoints defaults consumers secrets_in_prompts manage_routes admission mlflow_dialect cors store responses"
)
NESTED = {
    "timeouts": "connect first_output idle total write",
    "retries": "budget backoff backoff_max",
    "breaker": "consecutive_failures error_ratio calls_min window open",
    "admission": "concurrent queue queue_time",
}
RESPONSES_KEYS = "remember bytes_max consumer_bytes_max encryption_key"


def test_the_schema_knows_every_key_and_provider() -> None:
    made = schema.schema()
    assert set(made["properties"]) == set(TOP_KEYS.split())
    assert {name: set(shape["properties"]) for name, shape in made["$defs"].items()} == {
        name: set(keys.split()) for name, keys in KEYS.items()
    }
    destination = made["$defs"]["split"]["properties"]["destinations"]["items"]
    assert set(destination["properties"]) == {"name", "traffic_percentage"}
    shared = made["properties"]["defaults"]["properties"]
    assert set(shared) == {*OF_A_ROUTE.split(), *OF_AN_UPSTREAM.split()}
    for name, keys in NESTED.items():
        assert set(shared[name]["properties"]) == set(keys.split())
    assert set(made["properties"]["admission"]["properties"]) == set(NESTED["admission"].split())
    assert set(made["properties"]["responses"]["properties"]) == set(RESPONSES_KEYS.split())
    cases = made["$defs"]["model"]["allOf"]
    assert [case["if"]["properties"]["provider"]["const"] for case in cases] == list(PROVIDERS)
    for case, row in zip(cases, PROVIDERS.values(), strict=True):
        assert set(row.config_keys) <= set(case["then"]["properties"]["config"]["properties"])


def test_every_key_is_described_in_sentences() -> None:
    for name, shape in schema.schema()["$defs"].items():
        for key, value in shape["properties"].items():
            assert re.fullmatch(r"[A-Za-z(`].*[.]", value["description"]), f"{name}.{key}: {value.get('description')}"


@pytest.mark.parametrize(
    ("section", "keys"),
    [("timeouts", 5), ("retries", 3), ("breaker", 5), ("admission", 2), ("", 4)],
)
def test_writing_every_default_that_the_schema_names_changes_nothing(section: str, keys: int) -> None:
    """`admission` at the top needs no other key; a section of a route is compared with a route that has none."""
    shape = schema.schema()["$defs"]["route"]
    if section:
        shape = shape["properties"][section]
    found = {
        key: match[1] for key, value in shape["properties"].items() if (match := _DEFAULT.search(value["description"]))
    }
    written = {key: text for key, text in found.items() if key not in _IN_WORDS}
    assert len(written) == keys
    lines = [f"{key}: {text}" for key, text in written.items()]
    if section == "admission":
        text = f"admission: {{concurrent: 7, {', '.join(lines)}}}"
        assert (
            loaded(route(text)).routes["chat"].admission
            == loaded(route("admission: {concurrent: 7}")).routes["chat"].admission
        )
        return
    text = f"{section}: {{{', '.join(lines)}}}" if section else "\n".join(lines)
    assert loaded(route(text)).routes == loaded(route()).routes


# Defaults that no one key can be set to: they depend on other keys or on the machine.
_IN_WORDS = ("ca_file", "completions_api", "admission", "price", "strategy", "cost", "drop_params", "headers")
_DEFAULT = re.compile(r"Default: ([^ ]+)[.]$")


EVERYTHING = """\
defaults:
  timeouts: {connect: 1, first_output: 2s, idle: 3s, total: 4m, write: 5s}
  retries: {budget: 0, backoff: 100ms, backoff_max: 1s}
  breaker: {consecutive_failures: 1, error_ratio: 0.5, calls_min: 1, window: 1m, open: 1s}
  admission: {concurrent: 1, queue: 0, queue_time: 10ms}
  mlflow_dialect: b
admission: {queue: 10}
mlflow_dialect: a
manage_routes: true
secrets_in_prompts: log
routes:
  - name: several
    route_type: llm/v1/chat
    strategy: weighted
    admission: {queue: 3}
    models:
      - {provider: ollama, name: a, weight: 3, price: {input: 0.15, output: 1, cached_input: "0.075", cache_write: 0}}
      - {provider: ollama, name: b}
    price: {input: 1, output: 2}
    limit: {calls: 1, renewal_period: 10 minutes, key: user}
    limits: [{requests: 1, per: 30s, each: consumer}, {tokens: 5, per: "10 minutes"}, {concurrent: 2}]
    budgets: [{dollars: 0.5, per: day, soft: 0.9, each: consumer}]
  - name: short
    endpoint_type: llm/v1/chat
    model: {provider: ollama, name: a}
    fallbacks: [{provider: ollama, name: b}]
    limit: null
  - name: split
    task_type: llm/v1/chat
    routing_strategy: TRAFFIC_SPLIT
    destinations: [{name: several, traffic_percentage: 100}, {name: short, traffic_percentage: 0}]
    limits: [{calls: 1, renewal_period: day}]
consumers:
  - {name: a, users: [u, "v-*"], roles: [admin], allow: ["*"], deny: [short]}
  - {name: b, local: true, limits: [{requests: 1, per: day, each: route}], budgets: [{dollars: 1, per: month}]}
"""


def _complaints(text: str) -> list[str]:
    made: Any = Draft202012Validator(schema.schema())
    return [error.message for error in made.iter_errors(yaml.safe_load(text))]


def test_the_schema_takes_what_loads() -> None:
    Draft202012Validator.check_schema(schema.schema())
    assert loaded(EVERYTHING).warnings == ()
    assert _complaints(EVERYTHING) == []
    for version in ("2.5", "2.22", "3.17"):
        assert _complaints((Path(__file__).with_name("mlflow") / f"{version}.yaml").read_text()) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("budget: 0,", "budget: 11,"),
        ("error_ratio: 0.5", "error_ratio: 2"),
        ("manage_routes: true", "manage_routes: 1"),
        ("secrets_in_prompts: log", "secrets_in_prompts: maybe"),
        ("strategy: weighted", "strategy: random"),
        ("weight: 3", "weight: -1"),
        ("{concurrent: 2}", "{concurrent: 2, requests: 1, per: day}"),
        ("each: consumer}, {tokens", "each: route}, {tokens"),
        ("per: day, soft", "per: week, soft"),
        ("roles: [admin]", "roles: [admim]"),
        ("traffic_percentage: 0}", "traffic_percentage: 101}"),
        ("    fallbacks:", "    fallback:"),
        ("consumers:", "consumer:"),
        ("{name: b, local: true", "{local: true"),
    ],
)
def test_the_schema_refuses_what_does_not_load(old: str, new: str) -> None:
    assert old in EVERYTHING
    wrong = EVERYTHING.replace(old, new, 1)
    assert _complaints(wrong)
    assert problems(wrong)


def test_every_example_of_the_config_page_loads() -> None:
    """Pieces stand in a file around them: of a route, of the list, or beside it."""
    page = (PUBLISHED.parent / "config.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    keys = dict.fromkeys(
        ("ANTHROPIC_API_KEY", "AZURE_OPENAI_API_KEY", "REDIS_PASSWORD", "DB_PASSWORD", "PROXY_HOST", "TEAM"), "k"
    )
    ca = trustme.CA()
    issued = ca.issue_cert("gateway.example")
    pems = {
        "company-ca.pem": ca.cert_pem,
        "db-ca.pem": ca.cert_pem,
        "gateway.pem": issued.cert_chain_pems[0],
        "gateway.key": issued.private_key_pem,
    }
    files = {name: pem.bytes().decode() for name, pem in pems.items()}
    for block in blocks:
        one = "    route_type: llm/v1/chat\n" + (
            "" if "model:" in block else "    model: {provider: ollama, name: m}\n"
        )
        if block.startswith("- name"):
            text = "routes:\n" + textwrap.indent(block, "  ")
        elif block.startswith("routes:") and "destinations" in block:
            text = block + "".join(f"  - name: {name}\n{one}" for name in ("chat", "new-chat")).replace(
                one, "    route_type: llm/v1/chat\n    model: {provider: ollama, name: m}\n"
            )
        elif block.startswith("routes:"):
            text = block
        elif block.startswith(("consumers:", "cors:", "store:", "responses:")):
            text = f"routes:\n  - name: chat-expensive\n{one}  - name: embeddings\n{one}{block}"
        else:
            text = f"routes:\n  - name: r\n{one}" + textwrap.indent(block, "    ")
        assert loaded(text, files, None, **keys).routes
    assert len(blocks) >= 7


def test_a_provider_is_supported_or_not_yet_but_not_both() -> None:
    assert not {*NOT_YET, *GONE} & {*PROVIDERS, *ALIASES}


def test_the_config_page_names_every_key_and_provider() -> None:
    page = (PUBLISHED.parent / "config.md").read_text()
    keys = " ".join([TOP_KEYS, RESPONSES_KEYS, *KEYS.values(), *NESTED.values(), "traffic_percentage"]).split()
    keys += [key for row in PROVIDERS.values() for key in (row.name, *row.config_keys)]
    assert [key for key in keys if f"`{key}`" not in page and f"model.{key}`" not in page] == []


def test_the_schema_takes_variables_where_the_reader_does() -> None:
    text = EVERYTHING.replace("budget: 0,", "budget: $N,").replace("manage_routes: true", "manage_routes: ${YES}")
    text = text.replace("strategy: weighted", "strategy: $HOW").replace("total: 4m", 'total: "${T}m"')
    text = "x-anchors: {a: &a 1}\n" + text.replace("name: short\n", "name: ${S}hort\n")
    assert loaded(text, N="0", YES="yes", HOW="weighted", T="4", S="s").routes == loaded(EVERYTHING).routes
    assert _complaints(text) == []
