"""What a new configuration opens, and what is missing from it that kept callers out."""

from __future__ import annotations

import pytest

from sidecar.supervisor.widening import widening
from tests.config.half import NEW, OLD
from tests.config.loading import loaded

ROUTES = OLD.partition("consumers:")[0]
TEAM = "  - name: team\n    users: [bob]\n    allow: [chat]\n"
EVERYBODY = '  - name: rest\n    users: ["*"]\n    deny: [secret]\n'
CAPPED = "  - name: team\n    users: [bob]\n    limits: [{requests: 5, per: minute}]\n    budgets: [{dollars: 5, per: day}]\n"
ROUTE = ROUTES.rpartition("  - ")[0]
CAPPED_ROUTE = (
    ROUTE
    + ROUTES.rpartition("  - ")[1]
    + ROUTES.rpartition("  - ")[2].replace(
        "route_type", "limits: [{requests: 5, per: minute}], budgets: [{dollars: 5, per: day}], route_type"
    )
)


def _with(*consumers: str) -> str:
    return ROUTES + "consumers:\n" + "".join(consumers)


WILD = ROUTES + '  - {name: "w/*", route_type: llm/v1/chat, model: {provider: ollama, name: "*"}}\n'
OVERTAKEN = "  - {name: w/x, route_type: llm/v1/chat, model: {provider: ollama, name: x}, limits: [{requests: 5, per: minute}]}\n"
CHEAP = "consumers:\n  - name: cheap\n    users: [bob]\n    allow: [chat, 'w/*']\n    deny: ['w/big-*']\n"

LOST = {
    "the whole section": (_with(TEAM), ROUTES, "`consumers` is missing: every user could call every route (3)"),
    "allow": (
        _with(TEAM),
        _with(TEAM.replace("    allow: [chat]\n", "")),
        'consumer "team": `allow` is missing, which opens "dear", "secret"',
    ),
    "deny": (
        _with(EVERYBODY),
        _with(EVERYBODY.replace("    deny: [secret]\n", "")),
        'consumer "rest": `deny` lost "secret", which opens "secret"',
    ),
    "an entry of deny": (
        _with(EVERYBODY.replace("[secret]", "[secret, d*]")),
        _with(EVERYBODY),
        'consumer "rest": `deny` lost "d*", which opens "dear"',
    ),
    "a consumer that came first": (
        _with(TEAM, EVERYBODY),
        _with(EVERYBODY),
        'consumer "team" no longer claims users of "rest", which opens "dear"',
    ),
    "a user of a consumer that came first": (
        _with(TEAM.replace("[bob]", "[bob, carol]"), EVERYBODY),
        _with(TEAM, EVERYBODY),
        'consumer "team" no longer claims users of "rest", which opens "dear"',
    ),
    "a glob of a consumer that came first": (
        _with(TEAM.replace("[bob]", '[bob, "x-[ab]?*"]'), EVERYBODY),
        _with(TEAM, EVERYBODY),
        'consumer "team" no longer claims users of "rest", which opens "dear"',
    ),
    "a consumer before admins": (
        _with(TEAM, EVERYBODY.replace("deny: [secret]", "allow: [chat]\n    roles: [admin]")),
        _with(EVERYBODY.replace("deny: [secret]", "allow: [chat]\n    roles: [admin]")),
        'consumer "team" no longer claims users of "rest", which makes them admin',
    ),
    "a consumer's limits": (
        _with(CAPPED),
        _with(CAPPED.replace("    limits: [{requests: 5, per: minute}]\n", "")),
        'consumer "team": `limits` lost requests',
    ),
    "a consumer's budgets": (
        _with(CAPPED),
        _with(CAPPED.replace("    budgets: [{dollars: 5, per: day}]\n", "")),
        'consumer "team": `budgets` lost 1 of 1',
    ),
    "a route's limits": (
        CAPPED_ROUTE,
        CAPPED_ROUTE.replace("limits: [{requests: 5, per: minute}], ", ""),
        'route "secret": `limits` lost requests',
    ),
    "a route's budgets": (
        CAPPED_ROUTE,
        CAPPED_ROUTE.replace("budgets: [{dollars: 5, per: day}], ", ""),
        'route "secret": `budgets` lost 1 of 1',
    ),
    "a route whose name a wildcard answers then": (
        WILD + OVERTAKEN,
        WILD,
        'route "w/x" is gone, "w/*" answers its name: `limits` lost requests',
    ),
    "deny of some that a wildcard answers": (
        WILD + CHEAP,
        WILD + CHEAP.replace("    deny: ['w/big-*']\n", ""),
        'consumer "cheap": `deny` lost "w/big-*", which opens "w/big-_"',
    ),
    "allow of some that a wildcard answers": (
        WILD + CHEAP.replace("[chat, 'w/*']", "['w/small-*']").replace("    deny: ['w/big-*']\n", ""),
        WILD + CHEAP.replace("    allow: [chat, 'w/*']\n", "").replace("    deny: ['w/big-*']\n", ""),
        'consumer "cheap": `allow` is missing, which opens "chat", "dear", "secret" and 1 more',
    ),
    "the local gRPC port and socket' consumer's allow": (
        _with("  - name: stubs\n    local: true\n    allow: [chat]\n"),
        _with("  - name: stubs\n    local: true\n"),
        'consumer "stubs": `allow` is missing, which opens "dear", "secret"',
    ),
}


@pytest.mark.parametrize("lost", LOST)
def test_what_opens_because_something_is_missing_is_a_loss_with_its_name(lost: str) -> None:
    before, after, words = LOST[lost]
    found = widening(loaded(before), loaded(after))
    assert found.losses == (words,)
    assert found.opens


EDITS = {
    "a user more": (_with(TEAM), _with(TEAM.replace("[bob]", "[bob, carol]")), True),
    "a route more in allow": (_with(TEAM), _with(TEAM.replace("[chat]", "[chat, dear]")), True),
    "everything in allow": (_with(TEAM), _with(TEAM.replace("[chat]", '["*"]')), True),
    "a consumer more": (_with(TEAM), _with(TEAM, EVERYBODY), True),
    "a role more": (_with(TEAM), _with(TEAM + "    roles: [admin]\n"), True),
    "a user goes to a new consumer": (
        _with(TEAM, EVERYBODY),
        _with("  - {name: new, users: [bob]}\n", TEAM.replace("bob", "ann"), EVERYBODY),
        True,
    ),
    "a glob in place of another": (_with(TEAM), _with(TEAM.replace("[chat]", '["d*"]')), True),
    "more of what a wildcard answers in allow": (
        WILD + CHEAP.replace("'w/*'", "'w/small-*'").replace("    deny: ['w/big-*']\n", ""),
        WILD + CHEAP.replace("'w/*'", "'w/small-*', 'w/big-*'").replace("    deny: ['w/big-*']\n", ""),
        True,
    ),
    "a user fewer": (_with(TEAM.replace("[bob]", "[bob, carol]")), _with(TEAM), False),
    "a consumer fewer": (_with(TEAM, EVERYBODY), _with(TEAM), False),
    "a stricter deny": (_with(EVERYBODY), _with(EVERYBODY.replace("[secret]", "[secret, dear]")), False),
    "a limit's other number": (_with(CAPPED), _with(CAPPED.replace("requests: 5", "requests: 500")), False),
    "a limit's other period": (_with(CAPPED), _with(CAPPED.replace("minute", "hour")), False),
    "consumers for the first time": (ROUTES, _with(TEAM), False),
    "a route more": (_with(TEAM), _with(TEAM).replace("consumers:", "  - " + ROUTES.split("  - ")[1].replace(
        "chat,", "more,", 1) + "consumers:"), False),
    "no consumers, and another route": (ROUTES, ROUTES.replace("secret", "other"), False),
    "a route fewer": (_with(TEAM), _with(TEAM).replace(ROUTES.split("  - ")[2], "").replace("  -   - ", "  - "), False),
    "the same again": (OLD, OLD, False),
    "the whole edit of the slow writers": (OLD, NEW, True),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_that_says_what_it_opens_or_closes_loses_nothing(edit: str) -> None:
    before, after, opens = EDITS[edit]
    found = widening(loaded(before), loaded(after))
    assert found.losses == ()
    assert found.opens is opens
