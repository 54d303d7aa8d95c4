"""Gives the front renewed certificates, and verifies the change with a handshake."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable

from sidecar.front import pki
from sidecar.front.settings import write
from sidecar.supervisor.metrics.page import SupervisorMetrics
from sidecar.supervisor.start.self_check import Entrance, served
from sidecar.supervisor.start.served_certificate import ServedCertificate

_log = logging.getLogger("sidecar")
# Checking two files takes 40 µs, and certificates are renewed a month before they expire.
_PAUSE_S = 0.5
# For the private CA's own certificate, which is also renewed a month before it expires.
_OWN_S = 3600.0
# Nginx starts new processes for it, also on a busy machine.
_FOLLOW_S = 20.0
_HANDSHAKE_PAUSE_S = 0.1


def take(certificate: ServedCertificate) -> bool:
    """Returns whether there is a new certificate to serve. Raises ValueError for files that do not match, OSError.
    Blocks."""
    return certificate.take(pki.check_pair, write)


class CertificateDuty:
    """`renew` recreates the private CA's certificate when it is about to expire (None for an operator's own files).
    `switch` makes the front use the new one, and returns whether it was accepted; `refusals` counts what the front
    has refused later."""

    def __init__(
        self,
        certificate: ServedCertificate,
        entrance: Entrance,
        metrics: SupervisorMetrics,
        switch: Callable[[], Awaitable[bool]],
        renew: Callable[[], object] | None = None,
        refusals: Callable[[], int] = lambda: 0,
        follow_s: float = _FOLLOW_S,
    ) -> None:
        self._certificate = certificate
        self._entrance = entrance
        self._metrics = metrics
        self._switch = switch
        self._renew = renew
        self._refusals = refusals
        self._follow_s = follow_s
        self._refusal = ""

    async def follow(self) -> None:
        """Runs until it is cancelled."""
        looks = 0
        while True:
            await asyncio.sleep(_PAUSE_S)
            looks += 1
            if self._renew is not None and looks % int(_OWN_S / _PAUSE_S) == 0:
                try:
                    await asyncio.to_thread(self._renew)
                except (OSError, ValueError) as error:
                    _log.error("The front's certificate cannot be renewed: %s.", error)
            if self._certificate.changed():
                await self._take()

    async def _take(self) -> None:
        try:
            new = await asyncio.to_thread(take, self._certificate)
        except (OSError, ValueError) as error:
            if str(error) != self._refusal:
                _log.error("The front keeps its old certificate: %s.", error)
            self._refusal = str(error)
            self._metrics.certificate_usable(usable=False)
            if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
                self._certificate.look_again()  # descriptors or an absent disk may return without a change of the file
            return
        self._refusal = ""
        self._metrics.certificate_usable(usable=True)
        if not new:
            return
        before = self._refusals()
        if not await self._switch():
            return
        if await self._shown(before):
            self._metrics.front_reloads.labels("success").inc()
            _log.info("The front serves the renewed certificate.")
            return
        if self._refusals() != before:
            return  # and that is said and counted
        self._metrics.front_reloads.labels("failure").inc()
        words = "The front does not serve the renewed certificate after %g s. Its log has the reason."
        _log.error(words, self._follow_s)

    async def _shown(self, refusals: int) -> bool:
        expected = ssl.PEM_cert_to_DER_cert(pki.first_certificate(self._certificate.chain.read_text()))
        ends_s = time.monotonic() + self._follow_s
        while await asyncio.to_thread(served, self._entrance) != expected:
            if time.monotonic() > ends_s or self._refusals() != refusals:
                return False
            await asyncio.sleep(_HANDSHAKE_PAUSE_S)
        return True
