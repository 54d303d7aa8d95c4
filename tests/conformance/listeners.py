"""What the processes of a stack listen on, as the kernel has it."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_LISTEN = "0A"  # TCP_LISTEN
_ACCEPTS = 0x10000  # __SO_ACCEPTCON, of a unix socket
_TABLES = ("tcp", "tcp6", "udp", "udp6")


@dataclass(frozen=True, slots=True)
class Listener:
    """`kind` is tcp, udp or unix; `address` host:port, or the path as it was bound (it may be relative, or begin with @)."""

    pid: int
    kind: str
    address: str


def listeners(pids: Iterable[int]) -> set[Listener]:
    """All that these processes accept connections or datagrams on. A process that has ended has none."""
    by_inode = {**_inet(), **_unix()}
    return {Listener(pid, *by_inode[inode]) for pid in pids for inode in _sockets(pid) if inode in by_inode}


def _sockets(pid: int) -> Iterator[str]:
    try:
        entries = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for entry in entries:
        try:
            found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{entry}"))
        except OSError:  # closed just now
            continue
        if found:
            yield found[1]


def _inet() -> dict[str, tuple[str, str]]:
    """Inode -> kind, address. A UDP socket that is bound takes datagrams."""
    found = {}
    for table in _TABLES:
        path = Path("/proc/net", table)
        for line in path.read_text().splitlines()[1:] if path.exists() else []:
            fields = line.split()
            if fields[3] == _LISTEN or table.startswith("udp"):
                found[fields[9]] = (table.rstrip("6"), _address(fields[1]))
    return found


def _address(text: str) -> str:
    """0100007F:1F90 -> 127.0.0.1:8080: each four bytes stand in the machine's own order."""
    host, port = text.split(":")
    packed = b"".join(bytes.fromhex(host[at : at + 8])[::-1] for at in range(0, len(host), 8))
    address = ipaddress.ip_address(packed)
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address  # gRPC's sockets are of both families
    return f"{address}:{int(port, 16)}"


def _unix() -> dict[str, tuple[str, str]]:
    found = {}
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if int(fields[3], 16) & _ACCEPTS:
            found[fields[6]] = ("unix", fields[7] if len(fields) > 7 else "")
    return found
