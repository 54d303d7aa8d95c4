"""The gateway's client certificate for a provider that requires one: chain and key in memory, as they were read."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sidecar.domain.secret import Secret


class EncryptedKeyError(ValueError):
    """The key is protected by a passphrase, which nobody can enter."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """Chain and key in PEM. The paths are for messages; `path` also labels the expiry metric (Unix time)."""

    path: str
    key_path: str
    chain: str = field(repr=False)
    key: Secret = field(repr=False)
    expires_s: int = 0

    def show_in(self, context: ssl.SSLContext) -> None:
        """Makes `context` present the certificate on request. Raises SSLError if chain and key do not match or are
        invalid, EncryptedKeyError, OSError."""
        with _in_a_file(f"{self.key.reveal()}\n{self.chain}") as path:
            context.load_cert_chain(path, password=_refuse)


def _refuse() -> str:
    # Without this, OpenSSL would ask for a passphrase on the terminal.
    raise EncryptedKeyError("The key is encrypted.")


@contextmanager
def _in_a_file(text: str) -> Iterator[str]:
    """OpenSSL only reads chains from files. An in-memory file keeps the key off every disk."""
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        fd = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
        try:
            with open(fd, "w", closefd=False) as file:
                file.write(text)
            yield f"/proc/self/fd/{fd}"
        finally:
            os.close(fd)
        return
    with tempfile.NamedTemporaryFile("w") as file:  # mode 0600
        file.write(text)
        file.flush()
        yield file.name
