"""bench.own measures calls that are really answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.own import CASES, Bench, Case


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_every_row_is_of_calls_that_were_answered_and_logged(case: Case, tmp_path: Path) -> None:
    bench = Bench(tmp_path / "shared", case)
    await bench.calls(64)
    await bench.close()
    assert (bench.log_bytes > 64 * 100) is case.gateway
