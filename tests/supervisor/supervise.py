"""The core's supervisor with doubles for workers: `python -m tests.supervisor.supervise STATE_DIR CONFIG [GRACE_S]`."""

from __future__ import annotations

import sys
from pathlib import Path

from sidecar.supervisor.log import log_to_stderr
from sidecar.supervisor.options import Address, Options
from sidecar.supervisor.run import run
from sidecar.supervisor.start_error import StartError

DOUBLE = (sys.executable, "-m", "tests.supervisor.double")

if __name__ == "__main__":
    log_to_stderr()
    state_dir, config, *grace = sys.argv[1:]
    options = Options(
        state_dir=Path(state_dir),
        config_path=Path(config),
        front_address=None,
        stub_address=None,
        metrics_address=Address("127.0.0.1", 0),
        drain_grace_s=float(grace[0]) if grace else 10.0,
        lame_duck_s=0.0,  # doubles have no clients to let go
    )
    try:
        sys.exit(run(options, print, DOUBLE))
    except StartError as error:
        sys.exit(f"sidecar: {error}")
