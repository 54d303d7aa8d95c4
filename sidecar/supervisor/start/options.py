"""The options of `sidecar up`, `start` and `serve` as one value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.control.channel import CONNECTION_AGE_S, NATIVE
from sidecar.front.settings import CALLS_PER_CLIENT, FrontSettings
from sidecar.supervisor.start.addresses import Address, Network
from sidecar.supervisor.start.start_error import StartError

STATE_DIR = Path(".sidecar")
FRONT_HOST = "127.0.0.1"
FRONT_PORT = 8443
FRONT_PROGRAM = "nginx"
GRPC_ADDRESS = "127.0.0.1:50051"
METRICS_ADDRESS = "127.0.0.1:9464"
WORKERS = 2
# Longer than most streams, shorter than most service managers wait (systemd: 90 s by default).
DRAIN_GRACE_S = 120.0
# How long it continues to serve, not ready, before it drains: behind a load balancer, the time that takes to notice.
DRAIN_DELAY_S = 0.0
# A replaced worker serves until its last connection was asked to close, whose age gRPC varies by a tenth; plus a
# second for reconnects.
LAME_DUCK_S = CONNECTION_AGE_S * 1.1 + 1.0
# A worker uses one core. More than this is a typo, and socket names have room for two digits.
WORKERS_MAX = 99
# A worker without a heartbeat for this long hangs. A healthy one is blocked for a second or two at most, by a
# request of 32 MiB on a busy machine.
HANG_S = 10.0
BEATS = 10  # heartbeats within that time
# Size at which a log is rotated; four older files are kept. 50,000 calls.
LOG_MIB = 16


@dataclass(frozen=True, slots=True)
class FrontOptions:
    """How the front runs. `hosts` share `port`; `plain` are addresses without TLS, for a load balancer that
    terminates it."""

    program: str = FRONT_PROGRAM
    """`nginx` or `envoy`."""
    hosts: tuple[str, ...] = (FRONT_HOST,)
    port: int = FRONT_PORT
    plain: tuple[Address, ...] = ()
    tls: tuple[Path, Path] | None = None  # certificate chain and key; None: from the private CA in the state directory
    users_file: Path | None = None  # read, never written; None: `users` in the state directory
    trusted_proxies: tuple[Network, ...] = ()  # networks trusted to report a caller's address
    proxy_protocol: bool = False  # they report it through PROXY protocol, on every connection
    calls_per_client: int = CALLS_PER_CLIENT

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses with TLS."""
        return tuple(Address(host, self.port) for host in self.hosts)

    def __post_init__(self) -> None:
        """Raises StartError for options that this program does not support."""
        if self.program == "envoy" and self.calls_per_client != CALLS_PER_CLIENT:
            raise StartError("--calls-per-client requires Nginx: Envoy does not count calls by address.")
        if self.proxy_protocol and not self.trusted_proxies:
            raise StartError(
                "--proxy-protocol requires --trusted-proxy, the address or network of the proxies that use it."
            )

    def settings(self, **more: Any) -> FrontSettings:
        """Adds the settings that operators cannot choose."""
        return FrontSettings(
            listen_host=self.hosts[0],
            listen_port=self.port,
            more_hosts=self.hosts[1:],
            plain_addresses=tuple((each.host, each.port) for each in self.plain),
            trusted_proxies=tuple(map(str, self.trusted_proxies)),
            proxy_protocol=self.proxy_protocol,
            calls_per_client=self.calls_per_client,
            **more,
        )


@dataclass(frozen=True, slots=True)
class Options:
    """How to run. `front` is None without front proxy and local model (`serve`). Addresses are None if switched
    off."""

    state_dir: Path = STATE_DIR
    config_path: Path | None = None
    front: FrontOptions | None = FrontOptions()
    grpc_address: Address | None = Address("127.0.0.1", 50051)
    grpc_socket: bool = True
    metrics_address: Address | None = Address("127.0.0.1", 9464)
    workers: int = WORKERS
    access_log: str = "off"  # json, human or off
    grpc_server: str = NATIVE  # for the local listeners; one of GRPC_SERVERS
    drain_delay_s: float = DRAIN_DELAY_S
    drain_grace_s: float = DRAIN_GRACE_S
    lame_duck_s: float = LAME_DUCK_S
    hang_s: float = HANG_S
    log_path: Path | None = None  # the file behind standard error (`--detach`)
    log_bytes: int = LOG_MIB * 1024 * 1024
