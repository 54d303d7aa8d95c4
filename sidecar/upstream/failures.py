"""What can go wrong between the gateway and a provider, as exceptions with the kind and the words for callers.

The words name no address and quote nothing of an answer. `reason` is for the operator's log: what was wrong, without values.
"""

from __future__ import annotations

from typing import ClassVar

from adapters import GatewayError, Kind


class Failure(Exception):
    """`reason` says in a few words what was wrong; "" where the class says all."""

    kind: ClassVar[Kind] = Kind.UPSTREAM_UNAVAILABLE
    text: ClassVar[str]

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or self.text)
        self.reason = reason

    def shown(self) -> GatewayError:
        """The error that callers get. Raise it `from` this one."""
        return GatewayError(self.kind, self.text)


class ConnectFailed(Failure):
    text = "No connection to the provider."


class ConnectTimedOut(Failure):
    kind = Kind.UPSTREAM_TIMEOUT
    text = "No connection to the provider in time."


class ProxyRefused(Failure):
    text = "The proxy gave no connection to the provider."


class TlsRefused(Failure):
    text = "The provider's TLS certificate or handshake was refused."


class ConnectionLost(Failure):
    """Before the head was complete. `answered`: some bytes of an answer had come."""

    text = "The provider closed the connection without an answer."

    def __init__(self, reason: str = "", *, answered: bool = False) -> None:
        super().__init__(reason)
        self.answered = answered


class BadRequest(Failure):
    """Not sendable: a header value with a line end, a URL without a host. The config refuses such; this is the last guard."""

    kind = Kind.INTERNAL
    text = "The gateway could not write the request to the provider."


class BadHead(Failure):
    """The head breaks a rule of RFC 9112."""

    kind = Kind.UPSTREAM_PROTOCOL
    text = "The provider's answer is not HTTP."


class HeadTooLarge(Failure):
    kind = Kind.UPSTREAM_PROTOCOL
    text = "The head of the provider's answer is too large."


class TooManyInformational(Failure):
    kind = Kind.UPSTREAM_PROTOCOL
    text = "The provider sent too many informational responses."


class BodyBroken(Failure):
    """Cut off, or its framing breaks a rule of RFC 9112."""

    kind = Kind.UPSTREAM_INTERRUPTED
    text = "The provider's answer broke off."


class UnknownCoding(Failure):
    kind = Kind.UPSTREAM_PROTOCOL
    text = "The provider's answer is compressed in a way that the gateway does not read."


class BrokenCoding(Failure):
    kind = Kind.UPSTREAM_PROTOCOL
    text = "The provider's answer cannot be decompressed."
