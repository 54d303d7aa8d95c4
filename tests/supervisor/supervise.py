"""The core's supervisor with doubles for workers: `python -m tests.supervisor.supervise STATE_DIR CONFIG [OPTION=VALUE ...]`.

Options are `grace_s`, `hang_s`, and `worker`, a module of this folder that runs in the double's place.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sidecar.supervisor.log import log_to_stderr
from sidecar.supervisor.start.addresses import Address
from sidecar.supervisor.start.options import HANG_S, Options
from sidecar.supervisor.start.run import run
from sidecar.supervisor.start.start_error import StartError

if __name__ == "__main__":
    log_to_stderr()
    state_dir, config, *more = sys.argv[1:]
    settings = dict(each.split("=", 1) for each in more)
    real = "worker" in settings
    options = Options(
        state_dir=Path(state_dir),
        config_path=Path(config),
        front=None,
        grpc_address=Address("127.0.0.1", 0) if real else None,
        metrics_address=Address("127.0.0.1", 0),
        drain_grace_s=float(settings.get("grace_s", 10.0)),
        lame_duck_s=0.0,  # doubles have no clients to let go
        hang_s=float(settings.get("hang_s", HANG_S)),
    )
    try:
        sys.exit(run(options, print, (sys.executable, "-m", f"tests.supervisor.{settings.get('worker', 'double')}")))
    except StartError as error:
        sys.exit(f"sidecar: {error}")
