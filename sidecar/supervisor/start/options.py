"""The options of `sidecar up`, `start` and `serve`, as one value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

from sidecar.control.channel import CONNECTION_AGE_S, NATIVE
from sidecar.supervisor.start.start_error import StartError

STATE_DIR = Path(".sidecar")
FRONT_HOST = "127.0.0.1"
FRONT_PORT = 8443
FRONT_PROGRAM = "nginx"
GRPC_ADDRESS = "127.0.0.1:50051"
METRICS_ADDRESS = "127.0.0.1:9464"
WORKERS = 2
# Longer than most streams, shorter than the patience of whoever pulls the plug (systemd waits 90 s by default).
DRAIN_GRACE_S = 120.0
# How long it serves on, not ready, before it drains. Behind a load balancer: as long as that takes to notice.
DRAIN_DELAY_S = 0.0
# A replaced worker serves until the last of its connections was asked to go: gRPC varies their age by a tenth. And a second for
# the reconnects.
LAME_DUCK_S = CONNECTION_AGE_S * 1.1 + 1.0
# A worker takes one core; more of them than this is a typing error, and socket names leave room for two digits.
WORKERS_MAX = 99
# A worker whose event loop gave no sign of life for this long hangs. The longest that a good one is held is a second or two, by a
# request of 32 MiB on a busy machine.
HANG_S = 10.0
BEATS = 10  # in that time, of a worker that is well
# Of each log, before it begins a new file; four older ones are kept. 50,000 calls.
LOG_MIB = 16
OFF = "off"


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address. `port` 0 means any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def with_port(self, port: int) -> Address:
        return replace(self, port=port)


@dataclass(frozen=True, slots=True)
class Options:
    """How to run. `front_address` None: no front proxy and no local model (`serve`). Addresses None: switched off."""

    state_dir: Path = STATE_DIR
    config_path: Path | None = None
    front_address: Address | None = Address(FRONT_HOST, FRONT_PORT)
    front_program: str = FRONT_PROGRAM
    """`nginx` or `envoy`."""
    grpc_address: Address | None = Address("127.0.0.1", 50051)
    grpc_socket: bool = True
    metrics_address: Address | None = Address("127.0.0.1", 9464)
    tls: tuple[Path, Path] | None = None  # certificate chain and key; None: of the private CA in the state directory
    workers: int = WORKERS
    access_log: str = "off"  # json, human or off
    grpc_server: str = NATIVE  # of the local listeners; one of GRPC_SERVERS
    drain_delay_s: float = DRAIN_DELAY_S
    drain_grace_s: float = DRAIN_GRACE_S
    lame_duck_s: float = LAME_DUCK_S
    hang_s: float = HANG_S
    log_path: Path | None = None  # the file that standard error is (`--detach`)
    log_bytes: int = LOG_MIB * 1024 * 1024


def loopback_address(text: str, option: str) -> Address | None:
    """`HOST:PORT` or `off` (None). Raises StartError for anything else and for hosts that other machines can reach."""
    if text == OFF:
        return None
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if host == "localhost":
        host = "127.0.0.1"  # one address: gRPC would bind both families and the port probe see one
    try:
        address, number = ip_address(host), int(port)
    except ValueError:
        raise StartError(
            f"{option} {text} is not an address. Write HOST:PORT such as 127.0.0.1:50051, or off."
        ) from None
    if not 0 <= number <= 65535:
        raise StartError(f"{option} {text} has no valid port. It must be 0 to 65535.")
    if not address.is_loopback:
        raise StartError(
            f"{option} {text} is not a loopback address. This port has no TLS and no credentials: other machines must use the "
            "front port."
        )
    return Address(host, number)
