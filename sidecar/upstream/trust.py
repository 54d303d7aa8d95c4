"""TLS to providers: whom to trust. Names are always checked, and nothing is ever sent to a server that cannot be verified."""

from __future__ import annotations

import asyncio
import os
import ssl

from sidecar.upstream.failures import Failure, OutOfResources, TrustUnreadable, is_out_of_resources

# Which bundle, and when it was last written: a renewed one at the same path is another trust. None: the system's.
Trust = tuple[str, int] | None

# A worker has a handful of bundles; every renewal adds one.
_CONTEXTS_MAX = 64


def trust_of(ca_file: str | None) -> Trust:
    """Raises TrustUnreadable where the file is not there."""
    if ca_file is None:
        return None
    try:
        return (ca_file, os.stat(ca_file).st_mtime_ns)
    except OSError as error:
        raise TrustUnreadable(f"{ca_file} cannot be read.") from error


class Contexts:
    """TLS contexts by trust. Reading the system's certificates takes tens of milliseconds, so it is done in a thread and once."""

    def __init__(self) -> None:
        self._contexts: dict[Trust, asyncio.Task[ssl.SSLContext]] = {}

    async def of(self, trust: Trust) -> ssl.SSLContext:
        """Raises TrustUnreadable, OutOfResources."""
        task = self._contexts.get(trust)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            if len(self._contexts) >= _CONTEXTS_MAX:
                self._contexts.clear()
            task = self._contexts[trust] = asyncio.get_running_loop().create_task(_make(trust))
        try:
            return await asyncio.shield(task)
        except Failure as failure:  # each that waits gets one of its own
            raise type(failure)(failure.reason) from failure.__cause__

    async def close(self) -> None:
        tasks = list(self._contexts.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._contexts.clear()


async def _make(trust: Trust) -> ssl.SSLContext:
    try:
        context = await asyncio.to_thread(ssl.create_default_context, cafile=None if trust is None else trust[0])
    except (OSError, ValueError) as error:  # SSLError is an OSError
        if is_out_of_resources(error):
            raise OutOfResources("CA certificates could not be read.") from error
        raise TrustUnreadable(f"{trust[0] if trust else 'The system CA store'} cannot be read.") from error
    context.set_alpn_protocols(["http/1.1"])
    return context
