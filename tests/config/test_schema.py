"""The published JSON Schema is the one the code makes."""

from __future__ import annotations

from pathlib import Path

from adapters.providers import ALIASES, PROVIDERS
from sidecar.config import schema
from sidecar.config._route import LIST_KEYS, ROUTE_KEYS, SHARED_KEYS, TIMEOUT_KEYS
from sidecar.config._upstream import GONE, MODEL_KEYS, NOT_YET

PUBLISHED = Path(__file__).parents[2] / "docs" / "config.schema.json"


def test_the_published_schema_is_fresh() -> None:
    assert PUBLISHED.read_text() == schema.text(), "run: python -m sidecar.config.schema > docs/config.schema.json"


def test_the_schema_knows_every_key_and_provider() -> None:
    made = schema.schema()
    assert set(made["$defs"]["route"]["properties"]) == set(ROUTE_KEYS)
    cases = made["$defs"]["model"]["allOf"]
    assert [case["if"]["properties"]["provider"]["const"] for case in cases] == list(PROVIDERS)
    for case, row in zip(cases, PROVIDERS.values(), strict=True):
        assert set(row.config_keys) <= set(case["then"]["properties"]["config"]["properties"])


def test_a_provider_is_supported_or_not_yet_but_not_both() -> None:
    assert not {*NOT_YET, *GONE} & {*PROVIDERS, *ALIASES}


def test_the_config_page_names_every_key_and_provider() -> None:
    page = (PUBLISHED.parent / "config.md").read_text()
    keys = [*ROUTE_KEYS, *TIMEOUT_KEYS, *SHARED_KEYS, *LIST_KEYS, *MODEL_KEYS]
    keys += [key for row in PROVIDERS.values() for key in (row.name, *row.config_keys)]
    assert [key for key in keys if f"`{key}`" not in page and f"model.{key}`" not in page] == []
