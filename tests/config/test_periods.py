"""The table of periods, its law, and that the config, MLflow's admin paths and limit messages all follow it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_gateway_client.periods import SECONDS, SECONDS_MAX, seconds_of, text_of

from sidecar.config.limits import limit_of
from sidecar.worker.rest.mlflow_admin import limits_json, limits_of
from tests.config.loading import loaded, route

OF_A_UNIT = st.sampled_from(list(SECONDS.values())).flatmap(
    lambda size: st.integers(1, SECONDS_MAX // size).map(size.__mul__)
)


@given(st.integers(1, SECONDS_MAX) | OF_A_UNIT)
def test_a_period_set_through_mlflows_api_is_read_back_as_it_was_set(seconds: int) -> None:
    assert seconds_of(text_of(seconds)) == seconds
    sent = json.dumps({"route": "a", "limits": [{"calls": 5, "renewal_period": text_of(seconds)}]}).encode()
    _, [stored] = limits_of(sent)
    assert stored.per_s == seconds
    [answered] = limits_json([stored])["limits"]
    assert limit_of(5, answered["renewal_period"], None).per_s == seconds


@pytest.mark.parametrize(
    ("text", "seconds", "shortest"),
    [
        ("second", 1, "second"),
        ("Minutes", 60, "minute"),
        ("10minutes", 600, "10 minutes"),
        ("2  days", 172_800, "2 days"),
        ("30 days", 2_592_000, "month"),
        (" month ", 2_592_000, "month"),
        ("31 days", 2_678_400, "31 days"),
        ("year", 31_104_000, "year"),
        ("5 years", 155_520_000, "5 years"),
    ],
)
def test_every_spelling_of_a_period_works_in_the_config_and_on_mlflows_paths(
    text: str, seconds: int, shortest: str
) -> None:
    assert text_of(seconds) == shortest
    config = f'limit: {{calls: 1, renewal_period: "{text}"}}\nlimits: [{{tokens: 1, per: "{text}"}}]'
    assert [limit.per_s for limit in loaded(route(config)).routes["chat"].limits] == [seconds, seconds]
    sent = json.dumps({"route": "a", "limits": [{"calls": 5, "renewal_period": text}]}).encode()
    assert limits_of(sent)[1][0].per_s == seconds


@pytest.mark.parametrize("text", ["", "fortnight", "0 minutes", "-1 day", "1.5 hours", "minute;drop", "1/minute", "s"])
def test_what_is_no_period_is_refused_with_what_it_can_be(text: str) -> None:
    with pytest.raises(ValueError, match="second, minute, hour, day, month or year"):
        seconds_of(text)


@pytest.mark.parametrize("seconds", [0, -60])
def test_no_time_has_no_text(seconds: int) -> None:
    with pytest.raises(ValueError, match="1 second or more"):
        text_of(seconds)
