"""The released gateways and ours, side by side: same YAML, same provider, same requests. What differs must be a rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.mlflow import cases, differences
from tests.mlflow.cases import Case
from tests.mlflow.comparing import HTTP_S, Difference, done
from tests.mlflow.comparing import differences as differences_of
from tests.mlflow.differences import RULES, Both, Rule
from tests.mlflow.reference import Reference, script
from tests.provider import Provider
from tests.stack.stack import Stack

# Building the environments, once a machine, takes minutes on a slow network.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
CASES_MIN = 60
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "mlflow.md"
# No kept-alive connections: a server may close one just as the next request goes out on it.
_ONE_EACH = httpx.Limits(max_keepalive_connections=0)
Found = list[tuple[Difference, Both]]


def compared(version: str, config: str, requests: list[Case], folder: Path) -> Found:
    """Every difference, with what both did."""
    found: Found = []
    with Provider(script=script) as provider:
        text = cases.config(config, provider.base_url, provider.root_url)
        with Reference(version, folder, text) as reference, Stack(folder, text, workers=1) as stack:
            auth = (stack.user, stack.password)
            with (
                httpx.Client(
                    base_url=reference.url, timeout=HTTP_S, follow_redirects=True, trust_env=False, limits=_ONE_EACH
                ) as theirs,
                httpx.Client(
                    base_url=stack.url,
                    timeout=HTTP_S,
                    verify=stack.trust(),
                    auth=auth,
                    trust_env=False,
                    limits=_ONE_EACH,
                ) as ours,
            ):
                agent = f"mlflow-python-client/{version}"
                for case in requests:
                    both = Both(done(theirs, case, agent, provider), done(ours, case, agent, provider))
                    found += [(each, both) for each in differences_of(version, case.name, both.theirs, both.ours)]
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    """By version."""
    runs: dict[str, tuple[str, Callable[[], list[Case]]]] = {
        "2.8.1": ("2.8.yaml", cases.cases_2_8),
        "3.17.2": ("3.17.yaml", cases.cases_3_17),
    }
    return {
        version: compared(version, config, made(), tmp_path_factory.mktemp("d"))
        for version, (config, made) in runs.items()
    }


def rule_of(difference: Difference, both: Both) -> Rule | None:
    return next((rule for rule in RULES if rule.allows(difference, both)), None)


@pytest.mark.parametrize("version", ["2.8.1", "3.17.2"])
def test_we_answer_and_ask_as_the_released_gateway_does_but_for_the_rules(
    found: dict[str, Found], version: str
) -> None:
    left = [
        f"{each.case} | {each.field} | theirs {each.theirs!r} | ours {each.ours!r}"
        for each, both in found[version]
        if rule_of(each, both) is None
    ]
    assert not left, "\n".join(left)


def test_every_rule_is_needed(found: dict[str, Found]) -> None:
    used = {rule_of(each, both) for every in found.values() for each, both in every}
    assert [rule.name for rule in RULES if rule not in used] == []


def test_an_answer_that_is_changed_is_seen(found: dict[str, Found]) -> None:
    """What the comparison is worth: a planted fault in our answer and in our upstream request."""
    good = {
        "status": 200,
        "json": {"candidates": [{"text": "a"}]},
        "upstream": [{"target": "/v1", "body": {"stop": "x"}}],
    }
    bad = {
        "status": 200,
        "json": {"candidates": [{"text": "b"}]},
        "upstream": [{"target": "/v1", "body": {"stop": "y"}}],
    }
    planted = differences_of("2.8.1", "chat: planted", good, bad)
    assert [each.field for each in planted] == ["json.candidates.0.text", "upstream.0.body.stop"]
    assert [rule_of(each, Both(good, bad)) for each in planted] == [None, None]


def test_there_are_enough_requests_and_few_rules() -> None:
    requests = [*cases.cases_2_8(), *cases.cases_3_17()]
    assert len(requests) >= CASES_MIN
    assert len(RULES) <= differences.MAX


def test_the_page_shows_the_rules() -> None:
    assert differences.table() in PAGE.read_text()
