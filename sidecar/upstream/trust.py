"""TLS to providers: which certificates to trust, and which to present.

Host names are always checked, and nothing is sent to a server that cannot be verified.
"""

from __future__ import annotations

import asyncio
import ssl

from sidecar.domain.client_certificate import ClientCertificate
from sidecar.domain.snapshot import CaBundle
from sidecar.upstream.failures import Failure, OutOfResources, TrustUnreadable, is_out_of_resources

# CA certificates to trust; None for the system's. A renewed bundle is a different key.
Trust = CaBundle | None

# Client certificate; None for none.
Identity = ClientCertificate | None

# A worker has a handful of bundles; each renewal adds one.
_CONTEXTS_MAX = 64


class Contexts:
    """TLS contexts by CA bundle and client certificate.

    Loading the system's certificates takes tens of milliseconds, so it is done once, in a thread.
    """

    def __init__(self) -> None:
        self._contexts: dict[tuple[Trust, Identity], asyncio.Task[ssl.SSLContext]] = {}

    async def of(self, trust: Trust, identity: Identity = None) -> ssl.SSLContext:
        """Raises TrustUnreadable, OutOfResources."""
        key = (trust, identity)
        task = self._contexts.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            if len(self._contexts) >= _CONTEXTS_MAX:
                self._contexts.clear()
            task = self._contexts[key] = asyncio.get_running_loop().create_task(_make(trust, identity))
        try:
            return await asyncio.shield(task)
        except Failure as failure:  # every waiting call raises an instance of its own
            raise type(failure)(failure.reason) from failure.__cause__

    async def close(self) -> None:
        tasks = list(self._contexts.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._contexts.clear()


def context_for(trust: Trust, identity: Identity = None) -> ssl.SSLContext:
    """Takes tens of milliseconds for the system's certificates. Raises SSLError or OSError if certificates cannot
    be read."""
    context = ssl.create_default_context(cadata=None if trust is None else trust.pem)
    if identity is not None:
        identity.show_in(context)
    return context


async def _make(trust: Trust, identity: Identity) -> ssl.SSLContext:
    try:
        context = await asyncio.to_thread(context_for, trust, identity)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        if is_out_of_resources(error):
            raise OutOfResources("CA certificates could not be read.") from error
        raise TrustUnreadable(f"{trust.path if trust else 'The system CA store'} cannot be read.") from error
    context.set_alpn_protocols(["http/1.1"])
    return context
