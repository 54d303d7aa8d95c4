"""How many files the gateway may have open, and how many its settings can need: said at the start, not found out under load."""

from __future__ import annotations

import resource

from sidecar.domain.snapshot import Snapshot

# A call has the caller's stream and a provider's socket; idle connections to providers are kept beside those
# (sidecar/upstream/pool.py). The rest is listeners, logs and shared memory.
_A_CALL = 2
_IDLE = 1024
_REST = 256


def shortage(snapshot: Snapshot, *, front: bool) -> str | None:
    """What to tell the operator; None where the hard limit of open files is high enough. `front`: whether one is started."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    needs = {"a worker": snapshot.admission.concurrent_max * _A_CALL + _IDLE + _REST}
    if front:
        from sidecar.front.settings import CONNECTIONS  # not on the start path of `serve`

        needs["the front"] = CONNECTIONS + _REST
    short = [f"{who} can need {need}" for who, need in needs.items() if hard != resource.RLIM_INFINITY and need > hard]
    if not short:
        return None
    return (
        f"The hard limit of open files is {hard}, but {' and '.join(short)}: what does not fit is refused with 503. Raise it "
        "(LimitNOFILE of systemd, ulimit -Hn), or lower admission.concurrent."
    )
