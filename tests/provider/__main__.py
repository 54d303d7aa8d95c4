"""`python -m tests.provider --port P`: the simulator as a process. Prints one line once it accepts connections."""

from __future__ import annotations

import argparse
import signal

from tests.provider.simulator import Provider


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.provider")
    parser.add_argument("--port", type=int, default=0, help="0: a free one; the printed line says which")
    arguments = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    with Provider(port=arguments.port) as provider:
        print(f"provider simulator at {provider.base_url}", flush=True)
        signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
