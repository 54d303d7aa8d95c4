"""Where the gateway may listen and whom it trusts: addresses and networks as operators write them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from sidecar.supervisor.start.start_error import StartError

OFF = "off"
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address. `port` 0 means any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def with_port(self, port: int) -> Address:
        return replace(self, port=port)


def loopback_address(text: str, option: str) -> Address | None:
    """Parses `HOST:PORT` or `off` (None). Raises StartError for anything else, and for hosts that other machines
    can reach."""
    if text == OFF:
        return None
    address, ip = _parsed(text, option)
    if not ip.is_loopback:
        raise StartError(
            f"{option} {text} is not a loopback address. This port has no TLS and no credentials: other machines "
            "have to use the "
            "front port."
        )
    return address


def metrics_address(texts: Sequence[str], option: str) -> Address | None:
    """Parses `HOST:PORT` or `off` (None); the last value applies. Raises StartError for an address that other
    machines can reach, unless it is given twice."""
    text = texts[-1]
    if text == OFF:
        return None
    address, ip = _parsed(text, option)
    if not ip.is_loopback and texts.count(text) < 2:
        raise StartError(
            f"{option} {text} can be reached by other machines and requires no credentials: the page shows names "
            "of routes and "
            "consumers, and what they spend. If only you use that network, repeat the option: "
            f"{option} {text} {option} {text}."
        )
    return address


def plain_addresses(texts: Sequence[str], trusted: Iterable[Network], option: str) -> tuple[Address, ...]:
    """Parses `HOST:PORT` values for a load balancer that terminates TLS. Raises StartError for an address that
    other machines can reach, unless it is in a trusted network or given twice."""
    networks = tuple(trusted)
    found: dict[Address, None] = {}
    for text in texts:
        address, ip = _parsed(text, option)
        trusting = any(ip in network for network in networks)
        if not (ip.is_loopback or trusting) and texts.count(text) < 2:
            raise StartError(
                f"{option} {text} can be reached by other machines and has no TLS: anyone on the network path "
                "can read prompts and "
                "API keys. Use an address in a --trusted-proxy network, or repeat the option if only you use "
                "that network: "
                f"{option} {text} {option} {text}."
            )
        found[address] = None
    return tuple(found)


def trusted_networks(texts: Iterable[str], option: str) -> tuple[Network, ...]:
    """Parses addresses and networks of proxies. Raises StartError for an invalid one, and for one that includes
    everybody."""
    found: dict[Network, None] = {}
    for text in texts:
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            raise StartError(
                f"{option} {text} is not a network. Write an address such as 10.0.0.5, or a network such as 10.0.0.0/8."
            ) from None
        if str(network.network_address) != text.partition("/")[0].lower() and "/" in text:
            raise StartError(f"{option} {text} is not the first address of its network. Did you mean {network}?")
        if network.prefixlen == 0:
            raise StartError(f"{option} {text} includes everybody: any caller could claim any address.")
        found[network] = None
    return tuple(found)


def _parsed(text: str, option: str) -> tuple[Address, IPv4Address | IPv6Address]:
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if host == "localhost":
        host = "127.0.0.1"  # only one address: gRPC would bind both families, while the port probe tries one
    try:
        ip, number = ip_address(host), int(port)
    except ValueError:
        raise StartError(
            f"{option} {text} is not an address. Write HOST:PORT such as 127.0.0.1:50051, or off."
        ) from None
    if not 0 <= number <= 65535:
        raise StartError(f"{option} {text} has no valid port. It must be 0 to 65535.")
    return Address(host, number), ip
