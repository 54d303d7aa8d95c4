"""The start says where the system allows fewer open files than the settings can need."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from tests.processes import REPOSITORY

_ASKS = """
from sidecar.domain.snapshot import Admission, Snapshot
from sidecar.supervisor.start.descriptors import shortage
print(shortage(Snapshot({}, "0" * 12, admission=Admission(concurrent_max=CONCURRENT)), front=FRONT))
"""


def shortage(hard: int, concurrent: int, *, front: bool) -> str:
    """In a process of its own, which may have `hard` files open."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 256), hard))

    code = _ASKS.replace("CONCURRENT", str(concurrent)).replace("FRONT", str(front))
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, preexec_fn=limit, capture_output=True, text=True, check=True, cwd=REPOSITORY, timeout=60
    ).stdout.strip()


@pytest.mark.parametrize(
    ("hard", "concurrent", "front", "words"),
    [
        (1024, 1000, True, "is 1024, but a worker may need 3280 and the front may need 4352:"),
        (3500, 1000, True, "is 3500, but the front may need 4352:"),
        (3500, 1000, False, None),
        (3500, 2000, False, "is 3500, but a worker may need 5280:"),
        (8192, 1000, True, None),
    ],
)
def test_what_the_settings_can_need_is_said(hard: int, concurrent: int, front: bool, words: str | None) -> None:
    found = shortage(hard, concurrent, front=front)
    if words is None:
        assert found == "None"
    else:
        assert words in found
        assert "LimitNOFILE" in found
