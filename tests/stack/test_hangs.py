"""A worker that hangs behind a front: it costs the calls it had, and no more once it was noticed."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from tests.processes import is_alive, wait_until
from tests.provider import Provider
from tests.stack.stack import Stack, config_for
from tests.stack.test_workers import worker_at

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
HANG_S = 2.0
CALL = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}


def _asks(stack: Stack, calls: int) -> list[int]:
    """Statuses of calls, each on a connection of its own."""
    found = []
    for _ in range(calls):
        with stack.http() as http:
            found.append(http.post("/v1/chat/completions", json=CALL).status_code)
    return found


@pytest.mark.parametrize("front", ["nginx", "envoy"])
def test_a_worker_that_hangs_is_left_by_the_front_and_replaced_and_its_callers_hear_of_it(
    tmp_path: Path, provider: Provider, front: str
) -> None:
    options = ("--hang-timeout", str(HANG_S))
    with Stack(tmp_path, config_for(provider), options=options, front=front) as stack:
        assert _asks(stack, 8) == [200] * 8
        old, others = worker_at(stack, 0), set(stack.worker_pids)
        os.kill(stack.supervisor_pid, signal.SIGSTOP)
        threading.Event().wait(1.5 * HANG_S)
        assert _asks(stack, 8) == [200] * 8, "workers serve while the supervisor hangs"
        os.kill(stack.supervisor_pid, signal.SIGCONT)
        assert stack.metric("sidecar_worker_hangs_total") == 0
        assert set(stack.worker_pids) == others
        os.kill(old, signal.SIGSTOP)
        waiting: list[int] = []
        threads = [threading.Thread(target=lambda: waiting.extend(_asks(stack, 1))) for _ in range(8)]
        for thread in threads:
            thread.start()
        stack.process.wait_for_line(rf"pid {old}\) hangs: .*Replacing it: it is stopped", 30)
        wait_until(lambda: not is_alive(old), 10)
        for thread in threads:
            thread.join(30)
        assert len(waiting) == 8, "nobody waits any more"
        assert set(waiting) <= {200, 502, 503}
        wait_until(lambda: stack.metric("sidecar_workers_up") == 2, 30)
        assert _asks(stack, 16) == [200] * 16
        assert stack.metric("sidecar_worker_hangs_total") == 1
