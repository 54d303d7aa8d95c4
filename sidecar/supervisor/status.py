"""The status of the running gateway, for the home page and `sidecar routes`.

Combines what the parts of the supervisor know: the workers' reports about upstreams, the archive of spend,
processes, the configuration, certificates. Built at most once a second per consumer.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

from sidecar.control.channel import StatusRequest, UpstreamFailures
from sidecar.domain.gateway_status import (
    USAGE_DAYS,
    CertificateStatus,
    ConfigStatus,
    GatewayStatus,
    OperatorStatus,
    Spent,
    UpstreamFailure,
    UpstreamStatus,
    WorkerStatus,
)
from sidecar.domain.snapshot import Snapshot
from sidecar.spend.calendar import date_of, today_at
from sidecar.spend.summary import spent
from sidecar.supervisor.configuration import ConfigRefused
from sidecar.supervisor.metrics.page import SupervisorMetrics

_log = logging.getLogger("sidecar")
_FRESH_S = 1.0
# Consumers whose status is cached for that second.
_KEPT_MAX = 1_000
# Upstreams whose newest failure is remembered; the oldest ones are dropped.
_FAILURES_MAX = 5_000
_EJECTED = "sidecar_upstream_ejected"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the status comes from. `certificates` blocks. `notes`: what else an operator should know, a line each."""

    metrics: SupervisorMetrics
    archive: Path
    snapshot: Callable[[], Snapshot]
    workers: Callable[[], Iterable[WorkerStatus]]
    certificates: Callable[[], tuple[CertificateStatus, ...]]
    ca: Callable[[], Path | None]
    notes: Callable[[], tuple[str, ...]] = tuple


class StatusBoard:
    """One per supervisor. `refused` is why the configuration on disk is not in use; None while it is."""

    def __init__(self, sources: Sources) -> None:
        self.refused: ConfigRefused | None = None
        self._from = sources
        self._failures: dict[tuple[str, str], UpstreamFailure] = {}
        self._known: dict[tuple[str, bool], tuple[float, GatewayStatus]] = {}
        self._turn = asyncio.Lock()

    def failed(self, report: UpstreamFailures) -> None:
        """Notes a worker's report."""
        for where, failure in report.failures.items():
            known = self._failures.pop(where, None)
            self._failures[where] = failure if known is None or known.time_s <= failure.time_s else known
        while len(self._failures) > _FAILURES_MAX:
            del self._failures[next(iter(self._failures))]

    async def answer(self, request: StatusRequest) -> GatewayStatus:
        """Never raises: whatever cannot be read is omitted, and logged."""
        whose = (request.consumer, request.operator)
        async with self._turn:
            made_s, status = self._known.get(whose, (0.0, GatewayStatus()))
            if time.monotonic() - made_s > _FRESH_S:
                status = await asyncio.to_thread(self._status, request, tuple(self._from.workers()))
                if len(self._known) >= _KEPT_MAX:
                    self._known.clear()
                self._known[whose] = (time.monotonic(), status)
        return status

    def _status(self, request: StatusRequest, workers: tuple[WorkerStatus, ...]) -> GatewayStatus:
        today = date_of(today_at(time.time()).day)
        first_day = (date.fromisoformat(today) - timedelta(days=USAGE_DAYS - 1)).isoformat()
        ca = self._from.ca()
        status = GatewayStatus(
            workers=sum(each.state == "serving" for each in workers),
            upstreams=self._upstreams(),
            days=self._spent(first_day, "day", request.consumer),
            routes=self._spent(first_day, "route", request.consumer),
            today=today,
            ca_pem="" if ca is None else _text(ca),
        )
        return replace(status, operator=self._operator(first_day, workers)) if request.operator else status

    def _operator(self, first_day: str, workers: tuple[WorkerStatus, ...]) -> OperatorStatus:
        snapshot, refused = self._from.snapshot(), self.refused
        problems = () if refused is None else tuple(refused.why.split("\n"))
        unconfirmed = refused is not None and refused.unconfirmed
        warnings = (*snapshot.warnings, *self._from.notes())
        config = ConfigStatus(snapshot.hash, len(snapshot.routes), problems, unconfirmed, warnings)
        return OperatorStatus(
            days=self._spent(first_day, "day"),
            consumers=self._spent(first_day, "consumer"),
            workers=workers,
            restarts=int(next(iter(self._from.metrics.worker_restarts.collect())).samples[0].value),
            config=config,
            certificates=self._from.certificates(),
        )

    def _upstreams(self) -> tuple[UpstreamStatus, ...]:
        ejected: dict[tuple[str, str], int] = {}
        for labels, value in self._from.metrics.sums(_EJECTED).items():
            of = dict(labels)
            if value:
                ejected[of["route"], of["upstream"]] = int(value)
        failures = dict(self._failures)
        where = dict.fromkeys((*ejected, *failures))
        return tuple(UpstreamStatus(*each, ejected.get(each, 0), failures.get(each)) for each in where)

    def _spent(
        self, first_day: str, by: Literal["day", "route", "consumer"], consumer: str | None = None
    ) -> tuple[Spent, ...]:
        try:
            return spent(self._from.archive, first_day, by, consumer)
        except sqlite3.Error as error:
            _log.warning("The record of spend cannot be read for the home page: %s.", error)
            return ()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
