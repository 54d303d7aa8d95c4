"""Where the gateway may listen, and whom it believes: addresses and networks as the operator writes them."""

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
    """`HOST:PORT` or `off` (None). Raises StartError for anything else and for hosts that other machines can reach."""
    if text == OFF:
        return None
    address, ip = _parsed(text, option)
    if not ip.is_loopback:
        raise StartError(
            f"{option} {text} is not a loopback address. This port has no TLS and no credentials: other machines must use the "
            "front port."
        )
    return address


def metrics_address(texts: Sequence[str], option: str) -> Address | None:
    """`HOST:PORT` or `off` (None); the last one counts. Raises StartError for one that other machines can reach, unless it is
    given twice."""
    text = texts[-1]
    if text == OFF:
        return None
    address, ip = _parsed(text, option)
    if not ip.is_loopback and texts.count(text) < 2:
        raise StartError(
            f"{option} {text} can be reached by other machines and asks nobody who they are: the page shows names of routes and "
            "consumers, and what they spend. If that network is yours alone, say it twice: "
            f"{option} {text} {option} {text}."
        )
    return address


def plain_addresses(texts: Sequence[str], trusted: Iterable[Network], option: str) -> tuple[Address, ...]:
    """`HOST:PORT` each, for a balancer that ends TLS. Raises StartError for one that other machines can reach, unless it lies in
    a network that is trusted, or is given twice."""
    networks = tuple(trusted)
    found: dict[Address, None] = {}
    for text in texts:
        address, ip = _parsed(text, option)
        trusting = any(ip in network for network in networks)
        if not (ip.is_loopback or trusting) and texts.count(text) < 2:
            raise StartError(
                f"{option} {text} can be reached by other machines and has no TLS: whoever listens in between reads prompts and "
                "API keys. Give an address in a --trusted-proxy network, or say it twice if that network is yours alone: "
                f"{option} {text} {option} {text}."
            )
        found[address] = None
    return tuple(found)


def trusted_networks(texts: Iterable[str], option: str) -> tuple[Network, ...]:
    """Addresses and networks of proxies. Raises StartError for what is none, and for everybody."""
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
            raise StartError(f"{option} {text} is everybody: each caller could say that it has any address.")
        found[network] = None
    return tuple(found)


def _parsed(text: str, option: str) -> tuple[Address, IPv4Address | IPv6Address]:
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if host == "localhost":
        host = "127.0.0.1"  # one address: gRPC would bind both families and the port probe see one
    try:
        ip, number = ip_address(host), int(port)
    except ValueError:
        raise StartError(
            f"{option} {text} is not an address. Write HOST:PORT such as 127.0.0.1:50051, or off."
        ) from None
    if not 0 <= number <= 65535:
        raise StartError(f"{option} {text} has no valid port. It must be 0 to 65535.")
    return Address(host, number), ip
