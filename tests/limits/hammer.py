"""A process that asks one bucket as fast as it can: python -m tests.limits.hammer DOES FOLDER SLOT CALLS

DOES: "take" reserves CALLS times once FOLDER/go exists and says how many were let in; "places" takes CALLS places and keeps them;
"lock" takes the store's lock and keeps it.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from adapters import Task
from sidecar.domain.snapshot import Consumer, Limit, Route
from sidecar.limits import Bucket, LimitStore, buckets_of
from tests.processes import wait_until

LIMIT = 500
PLACES = 3


def requests() -> tuple[Bucket, ...]:
    """LIMIT a day: one drains in three minutes, so none does while a test runs."""
    return buckets_of(Route("chat", Task.CHAT, (), limits=(Limit("requests", LIMIT, 86_400),)), Consumer("anna"))


def places() -> tuple[Bucket, ...]:
    return buckets_of(Route("chat", Task.CHAT, (), limits=(Limit("concurrent", PLACES),)), Consumer("anna"))


def main() -> None:
    does, folder, slot, calls = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    store = LimitStore(folder, slot)
    match does:
        case "take":
            print("ready", flush=True)
            wait_until((folder.parent / "go").exists, 60)
            print("let in", sum(store.reserve(requests(), 0).refused is None for _ in range(calls)), flush=True)
        case "places":
            print("holds", sum(store.reserve(places(), 0).refused is None for _ in range(calls)), flush=True)
            signal.pause()
        case "lock":
            store._rates.lock()
            print("holds the lock", flush=True)
            signal.pause()


if __name__ == "__main__":
    main()
