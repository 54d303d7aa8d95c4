"""A real worker that spins from SIGUSR2 on, as one does that computes without end: `python -m tests.supervisor.spinning`."""

from __future__ import annotations

import signal

from sidecar.worker.process import main
from tests.supervisor.double import spin

if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, lambda number, frame: spin())
    main()
