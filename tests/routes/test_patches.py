"""What a worker gets instead of a whole snapshot leads to the same snapshot, or is not used."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from adapters import Task
from sidecar.control.snapshot_patch import between, patched
from sidecar.domain.snapshot import Consumer, Limit, Route, Snapshot, Upstream
from sidecar.spend.prices import with_prices

UPSTREAM = Upstream("openai", "gpt-test", "http://127.0.0.1:9/v1", None)
ROUTES = {f"r{number}": Route(f"r{number}", Task.CHAT, (UPSTREAM,)) for number in range(100)}
OPENAI = Upstream("openai", "gpt-4o", "https://api.openai.com/v1", None)
NOW_S = 1_760_000_000.0
OLD = Snapshot(ROUTES, "old")
NEW_ROUTE = Route("new", Task.CHAT, (UPSTREAM,))
LIMITED = replace(ROUTES["r5"], limits=(Limit("requests", 1, 60),))


@pytest.mark.parametrize(
    "routes",
    [
        {**ROUTES, "new": NEW_ROUTE},
        {**ROUTES, "r5": LIMITED},
        {name: route for name, route in ROUTES.items() if name != "r5"},
        {**{name: route for name, route in ROUTES.items() if name != "r5"}, "new": NEW_ROUTE},
        ROUTES,
    ],
    ids=["one more", "one changed", "one gone", "one for another", "the same"],
)
def test_a_patch_leads_to_the_snapshot_it_was_made_for(routes: dict[str, Route]) -> None:
    new = Snapshot(routes, "new", warnings=("be careful",))
    patch = between(OLD, new)
    assert patch is not None
    made = patched(OLD, pickle.loads(pickle.dumps(patch)))
    assert made == new
    assert list(made.routes) == list(new.routes)
    assert len(pickle.dumps(patch)) < len(pickle.dumps(new)) / 3


@pytest.mark.parametrize(
    "new",
    [
        Snapshot(dict(sorted(ROUTES.items(), reverse=True)), "new"),
        Snapshot({"new": NEW_ROUTE, **ROUTES}, "new"),
        Snapshot({name: replace(route) for name, route in ROUTES.items()}, "new"),
        Snapshot(ROUTES, "new", consumers=(Consumer("boss", local=True, admin=True),)),
        Snapshot(ROUTES, "new", manage_routes=True),
    ],
    ids=["another order", "a new one in front", "all read anew", "other consumers", "another setting"],
)
def test_what_a_patch_cannot_say_goes_whole(new: Snapshot) -> None:
    assert between(OLD, new) is None


def test_prices_leave_a_change_small() -> None:
    routes = {name: replace(route, upstreams=(OPENAI,)) for name, route in ROUTES.items()}
    old = Snapshot(routes, "old")
    new = Snapshot({**routes, "new": NEW_ROUTE}, "new")
    priced = with_prices(old, NOW_S)
    assert priced.routes["r1"].upstreams[0].price is not None
    patch = between(priced, with_prices(new, NOW_S, (old, priced)))
    assert patch is not None
    assert set(patch.put) == {"new"}


def test_a_patch_for_another_snapshot_is_not_used() -> None:
    patch = between(OLD, Snapshot({**ROUTES, "new": NEW_ROUTE}, "new"))
    assert patch is not None
    with pytest.raises(ValueError, match="another snapshot"):
        patched(replace(OLD, hash="other"), patch)
