"""Tries ports before anything starts, so that a port in use is one line instead of a crashing process."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import replace

from sidecar.local.free_ports import free_port
from sidecar.supervisor.start.addresses import Address
from sidecar.supervisor.start.options import FrontOptions
from sidecar.supervisor.start.start_error import StartError

_ADVICE = {
    errno.EADDRINUSE: "is in use by another program",
    errno.EACCES: "needs more rights than this user has",
    errno.EADDRNOTAVAIL: "is not an address of this machine",
}


def probe(address: Address, what: str, option: str) -> Address:
    """Binds and releases a port. Returns the address, with the port filled in if it was 0. Raises StartError if it
    cannot be bound."""
    if address.port == 0:
        try:
            address = address.with_port(free_port(address.host))
        except OSError:  # the bind below reports the reason
            pass
    with _bound(address, what, option, reuse_address=True) as sock:
        return address.with_port(sock.getsockname()[1])


def probed(front: FrontOptions) -> FrontOptions:
    """Fills in free ports for 0; all hosts share the TLS port. Raises StartError if one cannot be bound."""
    first = probe(front.addresses[0], "front port", "--port")
    front = replace(front, port=first.port)
    for address in front.addresses[1:]:
        probe(address, "front port", "--port")
    return replace(front, plain=tuple(probe(address, "port without TLS", "--http") for address in front.plain))


def reserve(address: Address, what: str, option: str) -> tuple[Address, socket.socket]:
    """Like `probe`, but keeps a socket on the port that never listens, so that workers can join through
    SO_REUSEPORT.

    The plain bind comes first: with SO_REUSEPORT, two supervisors would share the port and receive each other's
    calls.
    """
    address = probe(address, what, option)
    return address, _bound(address, what, option, reuse_address=False)


def _bound(address: Address, what: str, option: str, *, reuse_address: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # SO_REUSEADDR ignores old connections in TIME_WAIT; a listener still makes the bind fail (Linux).
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR if reuse_address else socket.SO_REUSEPORT, 1)
        # `::` is IPv6 only, as the fronts bind it: IPv4 may be in use by another program, or by us
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address.host, address.port))
    except OSError as error:
        sock.close()
        code = error.errno or 0
        reason = _ADVICE.get(code) or f"cannot be used: {os.strerror(code) if code > 0 else error.strerror or error}"
        if option == "--port" and (code == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror)):
            option = "--host"
        raise StartError(f"The {what} {address} {reason}. Choose another with {option}.") from None
    return sock
