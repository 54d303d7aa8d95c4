"""Limits set by call: they hold for every worker, for routes of the file too, and a restart keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest
from grpc import StatusCode

from sidecar.v1.routes_pb2 import (
    LIMIT_UNIT_CONCURRENT,
    LIMIT_UNIT_REQUESTS,
    LIMIT_UNIT_TOKENS,
    LIMIT_UNIT_UNSPECIFIED,
    RateLimit,
)
from tests.provider import Provider
from tests.routes.managed import Managed, config_for, refused, spec

pytestmark = pytest.mark.slow
LIMITS = [
    RateLimit(unit=LIMIT_UNIT_REQUESTS, count=100, per_seconds=60, each_consumer=True),
    RateLimit(unit=LIMIT_UNIT_TOKENS, count=1_000_000, per_seconds=155_520_000),
    RateLimit(unit=LIMIT_UNIT_CONCURRENT, count=8),
]
WRONG = [
    [RateLimit(unit=LIMIT_UNIT_UNSPECIFIED, count=1, per_seconds=1)],
    [RateLimit(unit=LIMIT_UNIT_REQUESTS, count=-1, per_seconds=1)],
    [RateLimit(unit=LIMIT_UNIT_REQUESTS, count=1)],
    [RateLimit(unit=LIMIT_UNIT_TOKENS, count=1, per_seconds=155_520_001)],
    [RateLimit(unit=LIMIT_UNIT_CONCURRENT, count=1, per_seconds=1)],
    [RateLimit(unit=LIMIT_UNIT_REQUESTS, count=1, per_seconds=1)] * 17,
]


async def test_limits_hold_everywhere_and_survive_reload_update_and_restart(tmp_path: Path, provider: Provider) -> None:
    config = config_for(provider)
    with Managed(tmp_path, config) as core:
        async with core.caller(0) as boss, core.caller(1, "ann") as ann:
            await boss.create(spec("made", provider.base_url))
            assert await ann.limits("chat") == await ann.limits("made") == []
            for route in ("chat", "made"):
                assert await boss.set_limits(route, *LIMITS) == LIMITS
                assert await ann.limits(route) == LIMITS
            for wrong in WRONG:
                assert (await refused(boss.set_limits("chat", *wrong)))[0] is StatusCode.INVALID_ARGUMENT
            assert (await refused(boss.set_limits("nobody", *LIMITS)))[0] is StatusCode.NOT_FOUND
            await boss.update(spec("made", provider.base_url, model="sim-new"))
            assert await ann.limits("made") == LIMITS, "they are not of the route's description"
            await core.reload(config + "# changed\n")
            assert await ann.limits("chat") == LIMITS
        assert core.running.process.stop(deadline_s=60) == 0
    with Managed(tmp_path, config) as core:
        async with core.caller(0) as boss, core.caller(1, "ann") as ann:
            assert await ann.limits("chat") == await ann.limits("made") == LIMITS
            assert await boss.set_limits("chat") == []
            assert await ann.limits("chat") == []
            await boss.delete("made")
            await boss.create(spec("made", provider.base_url))
            assert await ann.limits("made") == [], "another route of the same name begins anew"
