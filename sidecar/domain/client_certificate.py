"""Who the gateway is to a provider that asks for a client certificate: chain and key in memory, as they were read."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sidecar.domain.secret import Secret


class EncryptedKeyError(ValueError):
    """The key wants a passphrase, and nobody is there to type one."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """PEM. The paths are for messages, and `path` for the metric of the expiry (seconds since 1970)."""

    path: str
    key_path: str
    chain: str = field(repr=False)
    key: Secret = field(repr=False)
    expires_s: int = 0

    def show_in(self, context: ssl.SSLContext) -> None:
        """`context` presents it where the other side asks. Raises SSLError where chain and key do not belong together or cannot
        be read, EncryptedKeyError, OSError."""
        with _in_a_file(f"{self.key.reveal()}\n{self.chain}") as path:
            context.load_cert_chain(path, password=_refuse)


def _refuse() -> str:
    # Without this OpenSSL would ask on the terminal.
    raise EncryptedKeyError("The key is encrypted.")


@contextmanager
def _in_a_file(text: str) -> Iterator[str]:
    """OpenSSL's chains come from files only. Where there is a file in memory, the key never touches a disk."""
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        fd = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
        try:
            with open(fd, "w", closefd=False) as file:
                file.write(text)
            yield f"/proc/self/fd/{fd}"
        finally:
            os.close(fd)
        return
    with tempfile.NamedTemporaryFile("w") as file:  # 0600
        file.write(text)
        file.flush()
        yield file.name
