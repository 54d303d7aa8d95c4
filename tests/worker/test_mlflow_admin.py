"""What admins send on MLflow's paths, read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import GatewayError, Kind
from sidecar.domain.snapshot import Limit
from sidecar.worker.rest.mlflow_admin import limits_json, limits_of, spec_of


def spec(model: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = spec_of(json.dumps({"name": "a", "route_type": "llm/v1/chat", "model": model}).encode())
    return made


@pytest.mark.parametrize("key", ["config", "openai_config"])
def test_the_config_may_be_called_after_its_provider(key: str) -> None:
    assert spec({"name": "m", "provider": "openai", key: {"openai_api_key": "k"}}) == {
        "name": "a",
        "route_type": "llm/v1/chat",
        "model": {"name": "m", "provider": "openai", "config": {"openai_api_key": "k"}},
    }


@pytest.mark.parametrize(
    "model",
    [
        {"provider": "openai", "cohere_config": {}},
        {"provider": "openai", "config": {}, "openai_config": {}},
        {"provider": "openai", "openai_config": {}, "cohere_config": {}},
    ],
)
def test_a_config_of_another_provider_or_two_of_them_are_refused(model: dict[str, Any]) -> None:
    with pytest.raises(GatewayError, match="config"):
        spec(model)


@pytest.mark.parametrize(
    ("period", "seconds"),
    [("second", 1), ("minute", 60), ("Minutes", 60), ("10 minutes", 600), ("2hours", 7200), ("day", 86_400)],
)
def test_a_limit_is_calls_in_a_time(period: str, seconds: int) -> None:
    body = {"route": "a", "limits": [{"calls": 5, "renewal_period": period}]}
    assert limits_of(json.dumps(body).encode()) == ("a", [Limit("requests", 5, seconds)])


@pytest.mark.parametrize("per_s", [1, 7, 60, 600, 3600, 86_400, 90_000])
@pytest.mark.parametrize("each", [True, False])
def test_a_limit_that_was_set_is_read_as_it_was_said(per_s: int, each: bool) -> None:
    limit = Limit("requests", 5, per_s, each=each)
    body = json.dumps({"route": "a", **limits_json([limit, Limit("tokens", 9, 60)])})
    assert limits_of(body.encode()) == ("a", [limit])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"route": "a"},
        {"route": 1, "limits": []},
        {"route": "a", "limits": {}},
        {"route": "a", "limits": [1]},
        {"route": "a", "limits": [{"calls": -1, "renewal_period": "minute"}]},
        {"route": "a", "limits": [{"calls": 1.5, "renewal_period": "minute"}]},
        {"route": "a", "limits": [{"calls": True, "renewal_period": "minute"}]},
        {"route": "a", "limits": [{"calls": 1}]},
        {"route": "a", "limits": [{"calls": 1, "renewal_period": "fortnight"}]},
        {"route": "a", "limits": [{"calls": 1, "renewal_period": "minute", "key": "ip"}]},
        {"route": "a", "limits": [{"calls": 1, "renewal_period": "minute", "tokens": 3}]},
    ],
)
def test_what_is_no_limit_is_refused_with_its_place(body: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as raised:
        limits_of(json.dumps(body).encode())
    assert raised.value.param


NUMBERS = ["1e999999", "-1e999999", "9" * 5_000, "[" * 100_000 + "1" + "]" * 100_000, '{"a": 1e999999}', "[1e400]"]


@pytest.mark.parametrize("value", NUMBERS, ids=lambda value: value[:12])
@pytest.mark.parametrize("read", [spec_of, limits_of])
@pytest.mark.parametrize("member", ["name", "route", "limits", "model"])
def test_a_number_out_of_range_or_a_nest_is_the_callers_mistake(read: Any, member: str, value: str) -> None:
    """At least one of them is refused by each; none of them is a bug."""
    body = f'{{"{member}": {value}}}'.encode()
    try:
        read(body)
    except GatewayError as error:
        assert error.kind is Kind.INVALID_REQUEST
