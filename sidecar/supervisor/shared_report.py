"""Reports the state of shared documents to operators: log lines, metrics, and notes on the home page."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Metric

_log = logging.getLogger("sidecar")


class SharedReport:
    """`change` is the number of the last change that this gateway has. `refused`: why it keeps its own version, by
    document."""

    def __init__(self) -> None:
        self.change = 0
        self.refused: Mapping[str, str] = {}
        self._away = "it has not answered yet"  # why the copy is in use; "" if it is not
        self._logged = False
        self._damaged = ""

    def away(self, why: str) -> None:
        """The store does not answer."""
        if not self._logged:
            _log.warning(
                "The store cannot be reached: %s. Managed routes and limits are those of this gateway's copy (change %d), and "
                "cannot be changed.",
                why,
                self.change,
            )
        self._away, self._logged = why, True

    def damaged(self, why: str) -> None:
        """The copy cannot be read, and is not compared with the store."""
        if self._damaged != why:
            _log.error("Managed routes and limits are not compared with the store: %s", why)
        self._damaged = why

    def there(self) -> None:
        """It answers, and the copy agrees with it."""
        self._damaged = ""
        if self._logged:
            _log.info("The store is there again: managed routes and limits are those of all gateways.")
        self._away, self._logged = "", False

    def refuses(self, refused: Mapping[str, str]) -> None:
        """Everything that cannot be applied at the moment."""
        for what, why in refused.items():
            if self.refused.get(what) != why:
                _log.error("Another gateway's %s is not taken, and this one keeps its own: %s.", what, why)
        for what in self.refused.keys() - refused.keys():
            _log.info("This gateway and the others agree on %s again.", what)
        self.refused = dict(refused)

    def notes(self) -> tuple[str, ...]:
        """What an operator should know, one text per line."""
        found = [f"This gateway keeps its own {what}: {why}." for what, why in self.refused.items()]
        if self._damaged:
            found.append(f"Managed routes and limits are not compared with the other gateways: {self._damaged}")
        if self._logged:
            found.append(
                f"The store cannot be reached ({self._away}): managed routes and limits are this gateway's copy."
            )
        return tuple(found)

    def collect(self) -> Iterable[Metric]:
        """Implements a Prometheus collector."""
        from prometheus_client.core import GaugeMetricFamily

        yield GaugeMetricFamily(
            "sidecar_managed_copy_in_use",
            "Whether the gateway serves a copy of managed routes and limits that it cannot compare with the store.",
            value=bool(self._away or self._damaged),
        )
        yield GaugeMetricFamily(
            "sidecar_managed_refused",
            "Managed routes and limits of other gateways that this one cannot use; it keeps its own versions.",
            value=len(self.refused),
        )
        yield GaugeMetricFamily(
            "sidecar_managed_change",
            "Number of the last change to managed routes and limits that this gateway has; the same on all gateways.",
            value=self.change,
        )
