"""The published JSON Schema is the one the code makes."""

from __future__ import annotations

from pathlib import Path

from adapters.providers import ALIASES, PROVIDERS
from sidecar.config import schema
from sidecar.config._consumers import CONSUMER_KEYS
from sidecar.config._limits import BUDGET_KEYS, LIMIT_KEYS, MLFLOW_LIMIT_KEYS, PRICE_KEYS
from sidecar.config._route import ROUTE_KEYS
from sidecar.config._settings import ADMISSION_KEYS, BREAKER_KEYS, RETRIES_KEYS, SHARED_KEYS, TIMEOUT_KEYS
from sidecar.config._split import DESTINATION_KEYS, SPLIT_KEYS
from sidecar.config._top import TOP_KEYS
from sidecar.config._upstream import GONE, MODEL_KEYS, NOT_YET

PUBLISHED = Path(__file__).parents[2] / "docs" / "config.schema.json"


def test_the_published_schema_is_fresh() -> None:
    assert PUBLISHED.read_text() == schema.text(), "run: python -m sidecar.config.schema > docs/config.schema.json"


def test_the_schema_knows_every_key_and_provider() -> None:
    made = schema.schema()
    assert set(made["properties"]) == set(TOP_KEYS)
    assert {name: set(shape["properties"]) for name, shape in made["$defs"].items()} == {
        "route": set(ROUTE_KEYS),
        "split": set(SPLIT_KEYS),
        "model": set(MODEL_KEYS),
        "consumer": set(CONSUMER_KEYS),
        "route_limit": set(LIMIT_KEYS),
        "consumer_limit": set(LIMIT_KEYS),
        "route_budget": set(BUDGET_KEYS),
        "consumer_budget": set(BUDGET_KEYS),
        "mlflow_limit": set(MLFLOW_LIMIT_KEYS),
        "price": set(PRICE_KEYS),
    }
    shared = made["properties"]["defaults"]["properties"]
    assert set(shared) == set(SHARED_KEYS)
    for name, keys in (("timeouts", TIMEOUT_KEYS), ("retries", RETRIES_KEYS), ("breaker", BREAKER_KEYS)):
        assert set(shared[name]["properties"]) == set(keys)
    assert set(made["properties"]["admission"]["properties"]) == set(ADMISSION_KEYS)
    cases = made["$defs"]["model"]["allOf"]
    assert [case["if"]["properties"]["provider"]["const"] for case in cases] == list(PROVIDERS)
    for case, row in zip(cases, PROVIDERS.values(), strict=True):
        assert set(row.config_keys) <= set(case["then"]["properties"]["config"]["properties"])


def test_a_provider_is_supported_or_not_yet_but_not_both() -> None:
    assert not {*NOT_YET, *GONE} & {*PROVIDERS, *ALIASES}


def test_the_config_page_names_every_key_and_provider() -> None:
    page = (PUBLISHED.parent / "config.md").read_text()
    keys = [*TOP_KEYS, *ROUTE_KEYS, *SPLIT_KEYS, *DESTINATION_KEYS, *SHARED_KEYS, *MODEL_KEYS, *CONSUMER_KEYS]
    keys += [*TIMEOUT_KEYS, *RETRIES_KEYS, *BREAKER_KEYS, *ADMISSION_KEYS]
    keys += [*LIMIT_KEYS, *BUDGET_KEYS, *PRICE_KEYS, *MLFLOW_LIMIT_KEYS]
    keys += [key for row in PROVIDERS.values() for key in (row.name, *row.config_keys)]
    assert [key for key in keys if f"`{key}`" not in page and f"model.{key}`" not in page] == []
