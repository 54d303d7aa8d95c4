"""What can go wrong between the gateway and a provider, as exceptions with the kind and the words for callers.

The words name no address and quote nothing of an answer. `reason` is for the operator's log, and so is what `explain` finds in
the causes behind it: the system's or the TLS library's words, which hold nothing of a request or an answer.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from typing import ClassVar

from adapters import GatewayError, Kind


class Failure(Exception):
    """`reason` says in a few words what was wrong; "" where the class says all. `phase` is where in the exchange."""

    kind: ClassVar[Kind] = Kind.UPSTREAM_UNAVAILABLE
    text: ClassVar[str]
    phase: ClassVar[str] = "answer"

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or self.text)
        self.reason = reason

    def shown(self) -> GatewayError:
        """The error that callers get. Raise it `from` this one."""
        return GatewayError(self.kind, self.text)


class ConnectFailed(Failure):
    text = "No connection to the provider."
    phase = "connect"


class NameUnknown(ConnectFailed):
    phase = "name"


class ConnectTimedOut(Failure):
    kind = Kind.UPSTREAM_TIMEOUT
    text = "No connection to the provider in time."
    phase = "connect"


class ProxyRefused(Failure):
    text = "The proxy gave no connection to the provider."
    phase = "proxy"


class TlsRefused(Failure):
    text = "The provider's TLS certificate or handshake was refused."
    phase = "tls"


class TrustUnreadable(TlsRefused):
    text = "The file of CA certificates for the provider cannot be read: the operator has to mend it."


class TokenRefused(Failure):
    text = "No connection to the provider's token service."
    phase = "token"


class OutOfResources(Failure):
    """This process has no descriptor or memory left: nothing was learned of the provider."""

    kind = Kind.OVERLOADED
    text = "The gateway has no file descriptors or no memory left for the call."
    phase = "connect"


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
    phase = "request"


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
    phase = "body"


class UnknownCoding(Failure):
    kind = Kind.UPSTREAM_PROTOCOL
    text = "The provider's answer is compressed in a way that the gateway does not read."
    phase = "body"


class BrokenCoding(Failure):
    kind = Kind.UPSTREAM_PROTOCOL
    text = "The provider's answer cannot be decompressed."
    phase = "body"


_OUT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
# Ours, the HTTP library's, the event loop's, the system's: seven of a token service's are the most seen.
_CAUSES_MAX = 12
# Of one text in the log.
_CHARACTERS_MAX = 300


def is_out_of_resources(error: BaseException) -> bool:
    """Whether this process, or the machine, ran out of descriptors or memory."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _OUT):
        return True
    if not isinstance(error, socket.gaierror):
        return False
    try:  # a lookup without a descriptor to ask with says "try again" or "unknown"
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as failed:
        return failed.errno in _OUT
    return False


def internal_failure(error: BaseException) -> GatewayError | None:
    """What callers are told where this process ran out of something; None: `error` is a bug."""
    return GatewayError(OutOfResources.kind, OutOfResources.text) if is_out_of_resources(error) else None


def explain(error: BaseException) -> tuple[str, str]:
    """Where in the exchange a call failed, and why: for the operator's log, in printable characters, both "" where the error has
    no cause that would say more than its own message."""
    phase, words = "", []
    cause = error.__cause__
    for _ in range(_CAUSES_MAX):
        if cause is None:
            break
        if isinstance(cause, Failure):
            phase = phase or cause.phase
            words.append(cause.reason or cause.text)
        elif text := _words_of(cause):
            words.append(text)
        cause = _behind(cause)
    return phase, printable(" ".join(dict.fromkeys(words)))


def _behind(error: BaseException) -> BaseException | None:
    """The next in a chain of causes. Libraries may say `from` or not; we always do."""
    if isinstance(error, ExceptionGroup):
        return error.exceptions[0]
    return error.__cause__ or (None if isinstance(error, Failure | GatewayError) else error.__context__)


def _words_of(error: BaseException) -> str:
    """The library's own, of errors that quote nothing; of others the type."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"{error.verify_message} ({error.verify_code})."
        case ssl.SSLError():
            return f"{error.reason or error.strerror or 'TLS error'}."
        case socket.gaierror():
            return f"{error.strerror} ({error.errno})."
        case OSError() if error.errno is not None:
            return f"{os.strerror(error.errno)} ({errno.errorcode.get(error.errno, error.errno)})."
        case GatewayError() | ExceptionGroup() | OSError():
            return ""
        case _:
            return f"{type(error).__name__}."


def printable(text: str) -> str:
    """On one line, cut to what a log needs."""
    cut = text if len(text) <= _CHARACTERS_MAX else f"{text[:_CHARACTERS_MAX]}..."
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in cut)
