"""How many open files the gateway may have, and how many its settings can require: reported at the start rather
than under load."""

from __future__ import annotations

import resource

from sidecar.domain.snapshot import Snapshot

# A call uses the caller's stream and a provider's socket; idle connections to providers come on top
# (sidecar/upstream/pool.py). The rest is for listeners, logs and shared memory.
_A_CALL = 2
_IDLE = 1024
_REST = 256


def shortage(snapshot: Snapshot, *, front: bool) -> str | None:
    """Returns a warning for the operator; None if the hard limit of open files is high enough. `front`: whether one
    is started."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    needs = {"a worker": snapshot.admission.concurrent_max * _A_CALL + _IDLE + _REST}
    if front:
        from sidecar.front.settings import CONNECTIONS  # keeps it off the start path of `serve`

        needs["the front"] = CONNECTIONS + _REST
    short = [f"{who} may need {need}" for who, need in needs.items() if hard != resource.RLIM_INFINITY and need > hard]
    if not short:
        return None
    return (
        f"The hard limit of open files is {hard}, but {' and '.join(short)}: calls beyond it are refused with "
        "503. Raise it "
        "(LimitNOFILE of systemd, ulimit -Hn), or lower admission.concurrent."
    )
