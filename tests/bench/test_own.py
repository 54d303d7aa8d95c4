"""The benchmarks of our own code still call it: each case once, with few calls."""

from __future__ import annotations

from pathlib import Path

import pytest
import uvloop

from bench import own, own_agents, own_streams


@pytest.mark.parametrize("case", own_streams.CASES, ids=lambda case: case.name)
def test_a_stream_of_each_case_is_answered(case: own_streams.Case) -> None:
    assert uvloop.run(own_streams.cpu_us(case, own_streams.SHORT, 1)) > 0


@pytest.mark.parametrize("case", own.CASES, ids=lambda case: case.name)
def test_a_call_of_each_case_is_answered(case: own.Case, tmp_path: Path) -> None:
    async def run() -> None:
        bench = own.Bench(tmp_path / "own", case)
        await bench.calls(own.IN_FLIGHT)
        await bench.close()

    uvloop.run(run())


@pytest.mark.parametrize("agent", own_agents.AGENTS, ids=lambda agent: agent.case.name)
def test_a_request_of_an_agents_size_costs_little_more_than_reading_it(agent: own_agents.Agent) -> None:
    """The least of a few measurements: others on the machine only add to one."""
    body = own_agents.large(agent.body)
    found = []
    for _ in range(4):
        found.append(own_agents.cost_us(agent, 10) / own_agents.reading_us(body, 10))
        if found[-1] <= agent.readings_max:
            return
    raise AssertionError(f"{min(found):.1f} readings of the body")
