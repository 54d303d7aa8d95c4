"""Everything that happens before the gateway's first process starts: ports, configuration, model, tables. Raises
what is wrong."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass

from sidecar.domain.snapshot import Snapshot
from sidecar.spend.archive import FILE_NAME
from sidecar.spend.prices import with_prices
from sidecar.supervisor.configuration import Configuration
from sidecar.supervisor.metrics.page import SupervisorMetrics
from sidecar.supervisor.metrics.spend_keeper import SpendKeeper
from sidecar.supervisor.processes.ports import probe, probed, reserve
from sidecar.supervisor.start.addresses import Address
from sidecar.supervisor.start.options import FrontOptions, Options
from sidecar.supervisor.start.services import Services
from sidecar.supervisor.start.sharing import Sharing
from sidecar.supervisor.start.state import StateDir


@dataclass(frozen=True, slots=True)
class Ports:
    """Addresses that are free. None: switched off."""

    front: FrontOptions | None
    grpc: Address | None
    metrics: Address | None


@dataclass(frozen=True, slots=True)
class Parts:
    """What a supervisor needs before it starts a process. `priced` is `snapshot` with prices."""

    ports: Ports
    services: Services
    configuration: Configuration
    snapshot: Snapshot
    priced: Snapshot
    metrics: SupervisorMetrics
    spend_keeper: SpendKeeper
    sharing: Sharing


def prepare(options: Options, state: StateDir, cleanup: ExitStack) -> Parts:
    """Tries the ports, reads the configuration, fetches the model, opens the shared tables. Blocks. Raises
    StartError."""
    ports = _bind(options, cleanup)
    services = Services.open(options, state, ports.front)
    services.find_front()
    configuration = Configuration(options, state, services.local_base_url)
    snapshot = configuration.load()
    services.fetch_model(snapshot)
    metrics = SupervisorMetrics()
    cleanup.callback(metrics.close)
    gateway = state.gateway if snapshot.store is not None else ""
    spend_keeper = SpendKeeper.open(state.run, state.root / FILE_NAME, store=snapshot.store, gateway=gateway)
    cleanup.callback(spend_keeper.close)
    metrics.registry.register(spend_keeper)
    priced = with_prices(snapshot, time.time())
    sharing = Sharing.open(configuration, state, ports.front, metrics)
    return Parts(ports, services, configuration, snapshot, priced, metrics, spend_keeper, sharing)


def _bind(options: Options, cleanup: ExitStack) -> Ports:
    front = grpc = metrics = None
    if options.front is not None:
        front = probed(options.front)
    if options.grpc_address is not None:
        grpc, held = reserve(options.grpc_address, "local gRPC port", "--grpc")
        cleanup.enter_context(held)
    if options.metrics_address is not None:
        metrics = probe(options.metrics_address, "metrics port", "--metrics")
    return Ports(front, grpc, metrics)
